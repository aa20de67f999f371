-- What is done to single deliveries. Builds on queue.lua.

-- prefix, id, now. Puts a dead delivery back into its queue. Answers OK, MISSING, UNSUBSCRIBED or SUPERSEDED.
local function revive(_, argv)
  local p, id, now = argv[1], argv[2], moment(argv[1], argv[3])
  local key = p .. 'delivery:' .. id
  local state, sub, article, event, version, kind = unpack(redis.call('HMGET', key, 'state', 'subscription', 'article', 'event',
    'version', 'type'))
  if state ~= 'dead' then
    redis.call('ZREM', p .. 'deliveries:dead', id)
    return 'MISSING'
  end
  if redis.call('HGET', p .. 'subscription:' .. sub, 'status') ~= 'active' then return 'UNSUBSCRIBED' end
  local rank = rank_of(version, string.find(kind, 'retracted', 1, true) and 'retracted' or 'published')
  local latest = redis.call('HGET', p .. 'told:' .. article, 'rank')
  if latest and tonumber(latest) > rank then return 'SUPERSEDED' end
  redis.call('PERSIST', key)
  redis.call('PERSIST', key .. ':attempts')
  redis.call('HSET', key, 'state', 'waiting', 'failures', 0)
  redis.call('HDEL', key, 'ended')
  redis.call('HSET', p .. 'pending:' .. sub, article, id)
  redis.call('ZADD', p .. 'due:' .. sub, now, id)
  redis.call('ZADD', p .. 'endpoints', 'LT', now, sub)
  redis.call('ZREM', p .. 'deliveries:dead', id)
  if redis.call('EXISTS', p .. 'progress:' .. event) == 1 then redis.call('HINCRBY', p .. 'progress:' .. event, 'dead', -1) end
  return 'OK'
end

register('revive', revive)
