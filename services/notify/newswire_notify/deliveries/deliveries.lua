-- Replay and cancellation of single deliveries. Builds on queue.lua and fan_out.lua.

-- Whether a later version of its article supersedes a delivery.
local function is_superseded(p, article, version, kind)
  if tonumber(version) == 0 then return false end
  local latest = redis.call('HGET', p .. 'article_recipients:' .. article, 'rank')
  return latest and tonumber(latest) > rank_of(version, string.find(kind, 'retracted', 1, true) and 'retracted' or 'published')
end

-- Sends a delivery again; one that waits becomes due now. Arguments: prefix, id, subscription ('' for any), required state ('' for any),
-- now, retention of ended deliveries. Returns OK | MISSING | UNSUBSCRIBED | SUPERSEDED.
local function replay(_, argv)
  local p, id, now = argv[1], argv[2], current_time(argv[1], argv[5])
  local key = p .. 'delivery:' .. id
  local state, sub, article, version, kind = unpack(redis.call('HMGET', key, 'state', 'subscription', 'article', 'version', 'type'))
  if argv[4] ~= '' and state ~= argv[4] then
    redis.call('ZREM', p .. 'deliveries:' .. argv[4], id)
    return 'MISSING'
  end
  if not state or (argv[3] ~= '' and sub ~= argv[3]) then return 'MISSING' end
  local status = redis.call('HGET', p .. 'subscription:' .. sub, 'status')
  if status ~= 'active' and status ~= 'paused' then return 'UNSUBSCRIBED' end
  if is_superseded(p, article, version, kind) then return 'SUPERSEDED' end
  if state == 'waiting' and redis.call('ZADD', p .. 'due:' .. sub, 'XX', 'CH', now, id) == 1 then
    redis.call('ZADD', p .. 'endpoints', 'LT', now, sub)
  end
  requeue(p, sub, id, now, argv[6])
  return 'OK'
end

-- Cancels a delivery that has not ended. Arguments: prefix, id, subscription, now, retention of ended deliveries.
-- Returns OK | MISSING | ENDED.
local function cancel(_, argv)
  local p, id, sub, now = argv[1], argv[2], argv[3], current_time(argv[1], argv[4])
  local state, whose = unpack(redis.call('HMGET', p .. 'delivery:' .. id, 'state', 'subscription'))
  if not state or whose ~= sub then return 'MISSING' end
  if state ~= 'waiting' and state ~= 'delivering' then return 'ENDED' end
  for _, queue in ipairs({'due:', 'paused:', 'in_flight:', 'superseded_in_flight:'}) do redis.call('ZREM', p .. queue .. sub, id) end
  end_delivery(p, id, 'cancelled', now, argv[5])
  if redis.call('EXISTS', p .. 'due:' .. sub) == 1 then redis.call('ZADD', p .. 'endpoints', 'LT', now, sub) end
  return 'OK'
end

register('replay', replay)
register('cancel', cancel)
