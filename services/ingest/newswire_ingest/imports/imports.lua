-- The atomic steps of imports. An import is one hash; `due` lists those that a process is to work on, scored by the time in ms: that of
-- the claim's end, while a process works on one. The token of the claim shows that the process still owns it.

-- Adds an import. KEYS record, imports of the account, all imports, due; arguments: id, now, limit, fields.
-- Returns 0 where the account has as many as it may have.
local function add_import(keys, args)
  if redis.call('ZCARD', keys[2]) >= args.limit then return 0 end
  redis.call('HSET', keys[1], unpack(flat(args.fields)))
  redis.call('ZADD', keys[2], args.now, args.id)
  redis.call('ZADD', keys[3], args.now, args.id)
  redis.call('ZADD', keys[4], args.now, args.id)
  return 1
end

-- Claims the import that is due first. KEYS due; arguments: now, ends, token, prefix of the records. Returns its id, or ''.
local function claim_import(keys, args)
  local id = redis.call('ZRANGEBYSCORE', keys[1], '-inf', args.now, 'LIMIT', 0, 1)[1]
  if not id then return '' end
  if redis.call('EXISTS', args.prefix .. id) == 0 then
    redis.call('ZREM', keys[1], id)
    return ''
  end
  redis.call('ZADD', keys[1], args.ends, id)
  redis.call('HSET', args.prefix .. id, 'claim', args.token)
  return id
end

-- Stores progress, unless the claim was lost. KEYS record, due; arguments: id, token, fields, due: when the work goes on, 0 where it ended.
-- Returns whether it was stored.
local function save_import(keys, args)
  if redis.call('HGET', keys[1], 'claim') ~= args.token then return 0 end
  if next(args.fields) then redis.call('HSET', keys[1], unpack(flat(args.fields))) end
  if args.due > 0 then
    redis.call('ZADD', keys[2], args.due, args.id)
  else
    redis.call('ZREM', keys[2], args.id)
    redis.call('HDEL', keys[1], 'claim')
  end
  return 1
end

-- Starts or cancels an import; a process that works on it loses its claim. KEYS record, due; arguments: id, from: the states in which it
-- applies, fields, due: when the work begins, 0 for never. Returns whether it applied.
local function move_import(keys, args)
  local state = redis.call('HGET', keys[1], 'state')
  local applies = false
  for _, from in ipairs(args.from) do applies = applies or from == state end
  if not applies then return 0 end
  redis.call('HSET', keys[1], unpack(flat(args.fields)))
  redis.call('HDEL', keys[1], 'claim')
  if args.due > 0 then redis.call('ZADD', keys[2], args.due, args.id) else redis.call('ZREM', keys[2], args.id) end
  return 1
end

-- Removes an import. KEYS record, imports of the account, all imports, due; arguments: id. Returns whether it was there.
local function remove_import(keys, args)
  for at = 2, 4 do redis.call('ZREM', keys[at], args.id) end
  return redis.call('DEL', keys[1])
end

register('add_import', add_import)
register('claim_import', claim_import)
register('save_import', save_import)
register('move_import', move_import)
register('remove_import', remove_import)
