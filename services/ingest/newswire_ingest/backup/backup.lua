-- Reads articles atomically for a backup.

-- All records of an article: the suffix of the key and the fields of each, or nothing.
local function records_of(state_key)
  local fields = redis.call('HGETALL', state_key)
  if #fields == 0 then return {} end
  local found = {'', fields}
  for number = 1, tonumber(redis.call('HGET', state_key, 'version')) do
    local version = redis.call('HGETALL', state_key .. ':v:' .. number)
    if #version > 0 then
      found[#found + 1] = ':v:' .. number
      found[#found + 1] = version
    end
  end
  local scheduled = redis.call('HGETALL', state_key .. ':scheduled')
  if #scheduled > 0 then
    found[#found + 1] = ':scheduled'
    found[#found + 1] = scheduled
  end
  return found
end

-- KEYS state of an article
local function article(keys)
  return records_of(keys[1])
end

-- KEYS stream, checkpoint; arguments: last, the last known entry; prefix of the keys of article states. Returns the end of the stream,
-- the checkpoint, the entries after the known one, and id and records of every article they refer to, in one atomic read.
local function rest(keys, args)
  local last, entries = '0-0', {}
  if redis.call('EXISTS', keys[1]) == 1 then
    local about = redis.call('XINFO', 'STREAM', keys[1])
    for i = 1, #about, 2 do
      if about[i] == 'last-generated-id' then last = about[i + 1] end
    end
    entries = redis.call('XRANGE', keys[1], '(' .. args.last, '+')
  end
  local articles, seen = {}, {}
  for _, entry in ipairs(entries) do
    local data = ''
    for i = 1, #entry[2], 2 do
      if entry[2][i] == '__data__' then data = entry[2][i + 1] end
    end
    local sound, event = pcall(cjson.decode, data)
    local id = sound and type(event) == 'table' and event.subject
    if type(id) == 'string' and not seen[id] then
      seen[id] = true
      articles[#articles + 1] = id
      articles[#articles + 1] = records_of(args.prefix .. id)
    end
  end
  return {last, redis.call('GET', keys[2]) or '', entries, articles}
end

register('article', article, {'no-writes'})
register('rest', rest, {'no-writes'})
