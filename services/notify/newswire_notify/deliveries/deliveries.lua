-- What is done to single deliveries. Builds on queue.lua and fan_out.lua.

-- Whether a later version of its article has taken the place of a delivery.
local function overtaken(p, article, version, kind)
  if tonumber(version) == 0 then return false end
  local latest = redis.call('HGET', p .. 'told:' .. article, 'rank')
  return latest and tonumber(latest) > rank_of(version, string.find(kind, 'retracted', 1, true) and 'retracted' or 'published')
end

-- prefix, id, subscription ('' for any), the state that it must be in ('' for any), now, keep. Sends a delivery again, one that waits at
-- once. Answers OK, MISSING, UNSUBSCRIBED or SUPERSEDED.
local function replay(_, argv)
  local p, id, now = argv[1], argv[2], moment(argv[1], argv[5])
  local key = p .. 'delivery:' .. id
  local state, sub, article, version, kind = unpack(redis.call('HMGET', key, 'state', 'subscription', 'article', 'version', 'type'))
  if argv[4] ~= '' and state ~= argv[4] then
    redis.call('ZREM', p .. 'deliveries:' .. argv[4], id)
    return 'MISSING'
  end
  if not state or (argv[3] ~= '' and sub ~= argv[3]) then return 'MISSING' end
  local status = redis.call('HGET', p .. 'subscription:' .. sub, 'status')
  if status ~= 'active' and status ~= 'paused' then return 'UNSUBSCRIBED' end
  if overtaken(p, article, version, kind) then return 'SUPERSEDED' end
  if state == 'waiting' and redis.call('ZADD', p .. 'due:' .. sub, 'XX', 'CH', now, id) == 1 then
    redis.call('ZADD', p .. 'endpoints', 'LT', now, sub)
  end
  again(p, sub, id, now, argv[6])
  return 'OK'
end

-- prefix, id, subscription, now, keep. Answers OK, MISSING, or ENDED where it has ended already.
local function cancel(_, argv)
  local p, id, sub, now = argv[1], argv[2], argv[3], moment(argv[1], argv[4])
  local state, whose = unpack(redis.call('HMGET', p .. 'delivery:' .. id, 'state', 'subscription'))
  if not state or whose ~= sub then return 'MISSING' end
  if state ~= 'waiting' and state ~= 'delivering' then return 'ENDED' end
  for _, queue in ipairs({'due:', 'held:', 'leased:', 'overtaken:'}) do redis.call('ZREM', p .. queue .. sub, id) end
  finish(p, id, 'cancelled', now, argv[5])
  if redis.call('EXISTS', p .. 'due:' .. sub) == 1 then redis.call('ZADD', p .. 'endpoints', 'LT', now, sub) end
  return 'OK'
end

register('replay', replay)
register('cancel', cancel)
