-- Who subscribes to what. Builds on queue.lua.

local function change(p, op, digest, definition)
  local count = redis.call('INCR', p .. 'subscriptions:changed')
  redis.call('XADD', p .. 'subscriptions:changes', 'MAXLEN', '~', 10000, '*', 'count', count, 'op', op, 'digest', digest,
    'definition', definition)
end

local function attach(p, sub)
  local key = p .. 'subscription:' .. sub
  local digest, after, seq, filter, events = unpack(redis.call('HMGET', key, 'digest', 'after', 'seq', 'filter', 'events'))
  local wanted = {}
  for event in string.gmatch(events, '[^,]+') do wanted[#wanted + 1] = cjson.encode(event) end
  redis.call('HSET', key, 'attached', '1')
  redis.call('ZADD', p .. 'subscribers:' .. digest, seq, sub .. '|' .. after)
  local definition = '{"filter":' .. filter .. ',"events":[' .. table.concat(wanted, ',') .. ']}'
  if redis.call('HSETNX', p .. 'filters', digest, definition) == 1 then change(p, 'add', digest, definition) end
end

local function detach(p, sub)
  local key = p .. 'subscription:' .. sub
  local digest, after, attached = unpack(redis.call('HMGET', key, 'digest', 'after', 'attached'))
  if attached ~= '1' then return end
  redis.call('HSET', key, 'attached', '0')
  redis.call('ZREM', p .. 'subscribers:' .. digest, sub .. '|' .. after)
  if redis.call('EXISTS', p .. 'subscribers:' .. digest) == 0 then
    redis.call('HDEL', p .. 'filters', digest)
    change(p, 'remove', digest, '')
  end
end

-- prefix, id, account, digest, definition, after, limit, created (ms), then the fields of the subscription.
local function subscribe(_, argv)
  local p, id, account, digest, definition, after = argv[1], argv[2], argv[3], argv[4], argv[5], argv[6]
  local own = p .. 'subscriptions:' .. account
  if redis.call('ZCARD', own) >= tonumber(argv[7]) then return -1 end
  local seq = redis.call('INCR', p .. 'subscriptions:seq')
  redis.call('HSET', p .. 'subscription:' .. id, 'id', id, 'account', account, 'digest', digest, 'after', after, 'seq', seq,
    'attached', '1', unpack(argv, 9))
  redis.call('ZADD', own, argv[8], id)
  redis.call('ZADD', p .. 'subscribers:' .. digest, seq, id .. '|' .. after)
  if redis.call('HSETNX', p .. 'filters', digest, definition) == 1 then change(p, 'add', digest, definition) end
  return seq
end

-- prefix, id, account, now, keep. Answers 0 where the account has no such subscription.
local function unsubscribe(_, argv)
  local p, id = argv[1], argv[2]
  if redis.call('HGET', p .. 'subscription:' .. id, 'account') ~= argv[3] then return 0 end
  detach(p, id)
  cancel_all(p, id, moment(p, argv[4]), argv[5])
  redis.call('ZREM', p .. 'subscriptions:' .. argv[3], id)
  redis.call('DEL', p .. 'subscription:' .. id, p .. 'deliveries:' .. id)
  return 1
end

register('subscribe', subscribe)
register('unsubscribe', unsubscribe)
