-- Entries that are acknowledged in one call: a function takes a limited number of arguments.
local IDS_PER_CALL = 1000

-- Stream ids are compared as two numbers; a time in ms and the sequences met in practice fit a double exactly.
local function after(a, b)
  local ams, aseq = string.match(a, '^(%d+)-(%d+)$')
  local bms, bseq = string.match(b, '^(%d+)-(%d+)$')
  if tonumber(ams) ~= tonumber(bms) then return tonumber(ams) > tonumber(bms) end
  return tonumber(aseq) > tonumber(bseq)
end

local function before(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  if tonumber(seq) > 0 then return ms .. '-' .. string.format('%.0f', tonumber(seq) - 1) end
  if tonumber(ms) == 0 then return '0-0' end
  return string.format('%.0f', tonumber(ms) - 1) .. '-18446744073709551615'
end

local function field(flat, name)
  for i = 1, #flat, 2 do
    if flat[i] == name then return flat[i + 1] end
  end
end

local function find_group(stream, group)
  if redis.call('EXISTS', stream) == 0 then return nil end
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    if field(info, 'name') == group then return info end
  end
end

-- KEYS stream, checkpoint; arguments: group. Creates the group if it is missing; returns its start, or false.
local function open_group(keys, args)
  if find_group(keys[1], args.group) then return false end
  local start = '0-0'
  local checkpoint = redis.call('GET', keys[2])
  if checkpoint and redis.call('EXISTS', keys[1]) == 1 then
    local last = field(redis.call('XINFO', 'STREAM', keys[1]), 'last-generated-id')
    if not after(checkpoint, last) then start = checkpoint end
  end
  redis.call('XGROUP', 'CREATE', keys[1], args.group, start, 'MKSTREAM')
  return start
end

-- KEYS stream, checkpoint, dead letters; arguments: group; letters_of, the key of an article's dead letters, with '|' for its id; dead
-- entries, each with its id, error, first_seen and subject; ids of all entries to acknowledge.
local function ack(keys, args)
  local stream, checkpoint, dead_letters, group = keys[1], keys[2], keys[3], args.group
  local head, tail = string.match(args.letters_of, '^(.-)|(.*)$')
  for _, dead in ipairs(args.dead) do
    local id, subject = dead.id, dead.subject
    local entry = redis.call('XRANGE', stream, id, id)[1]
    if entry then
      local raw = field(entry[2], '__data__')
      local letter = redis.call('XADD', dead_letters, '*', 'entry', id, 'error', dead.error,
        'first_seen', dead.first_seen, 'subject', subject, 'intact', raw and '1' or '0', '__data__', raw or cjson.encode(entry[2]))
      if subject ~= '' then
        redis.call('SADD', head .. subject .. tail, dead_letters .. ' ' .. letter, stream .. ' ' .. id)
      end
    end
  end
  for at = 1, #args.ids, IDS_PER_CALL do
    redis.call('XACK', stream, group, unpack(args.ids, at, math.min(at + IDS_PER_CALL - 1, #args.ids)))
  end
  local pending = redis.call('XPENDING', stream, group)
  local done
  if pending[1] == 0 then
    done = field(find_group(stream, group), 'last-delivered-id')
  else
    done = before(pending[2])
  end
  redis.call('SET', checkpoint, done)
  return done
end

-- KEYS stream; arguments: group; idle (ms); leaving, the name of the caller when it leaves, or ''. Removes consumers that are idle
-- without pending entries, and the caller when it leaves.
local function sweep(keys, args)
  if not find_group(keys[1], args.group) then return 0 end
  local gone = 0
  for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', keys[1], args.group)) do
    local name = field(info, 'name')
    if field(info, 'pending') == 0 and (name == args.leaving or field(info, 'idle') > args.idle) then
      redis.call('XGROUP', 'DELCONSUMER', keys[1], args.group, name)
      gone = gone + 1
    end
  end
  return gone
end

-- KEYS stream, dead letters, article state or '', the article's set of dead letters or ''; arguments: id of the dead letter; text:
-- replacement data or ''.
local function retry(keys, args, argv)
  local data = argv[2]
  local letter = redis.call('XRANGE', keys[2], args.id, args.id)[1]
  if not letter then return {'MISSING'} end
  if keys[3] ~= '' and redis.call('HGET', keys[3], 'status') == 'retracted'
    and string.find(data ~= '' and data or field(letter[2], '__data__') or '', 'article.published', 1, true) then
    redis.call('XDEL', keys[2], args.id)
    return {'RETRACTED'}
  end
  if data == '' then
    if field(letter[2], 'intact') ~= '1' then return {'NOTHING'} end
    data = field(letter[2], '__data__')
  end
  local id = redis.call('XADD', keys[1], '*', '__data__', data)
  if keys[4] ~= '' then redis.call('SADD', keys[4], keys[1] .. ' ' .. id) end
  redis.call('XDEL', keys[2], args.id)
  return {'OK', id}
end

-- KEYS stream, the checkpoints of the groups, and last the key for the id of the newest trimmed entry;
-- arguments: keep, the oldest id to keep by age; groups, their names in the order of the checkpoints.
-- Trims up to that id, but never past an entry that a group still has to handle; returns the number of trimmed entries and the
-- oldest remaining id.
local function trim(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return {0, ''} end
  local keep = args.keep
  local present = {}
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', keys[1])) do
    local name = field(info, 'name')
    present[name] = true
    local pending = redis.call('XPENDING', keys[1], name)
    local handled = pending[1] == 0 and field(info, 'last-delivered-id') or before(pending[2])
    if after(keep, handled) then keep = handled end
  end
  for i, group in ipairs(args.groups) do
    local checkpoint = redis.call('GET', keys[i + 1])
    if not present[group] and checkpoint and after(keep, checkpoint) then keep = checkpoint end
  end
  local newest = keep ~= '0-0' and redis.call('XREVRANGE', keys[1], '(' .. keep, '-', 'COUNT', 1)[1]
  local gone = redis.call('XTRIM', keys[1], 'MINID', keep)
  if newest then redis.call('SET', keys[#keys], newest[1]) end
  local oldest = redis.call('XRANGE', keys[1], '-', '+', 'COUNT', 1)[1]
  return {gone, oldest and oldest[1] or ''}
end

register('open_group', open_group)
register('trim', trim)
register('ack', ack)
register('sweep', sweep)
register('retry', retry)
