-- Replay and cancellation of single deliveries. Builds on queue.lua and fan_out.lua.

-- Sends a delivery again; one that waits becomes due now. Arguments: id; keep; subscription ('' for any); state, the required one ('' for
-- any). Returns OK | MISSING | UNSUBSCRIBED | SUPERSEDED.
local function replay(_, args)
  local p, id, now = args.prefix, args.id, current_time(args)
  local key = p .. 'delivery:' .. id
  local state, sub, article, version, kind = unpack(redis.call('HMGET', key, 'state', 'subscription', 'article', 'version', 'type'))
  if args.state ~= '' and state ~= args.state then
    redis.call('ZREM', p .. 'deliveries:' .. args.state, id)
    return 'MISSING'
  end
  if not state or (args.subscription ~= '' and sub ~= args.subscription) then return 'MISSING' end
  local status = redis.call('HGET', p .. 'subscription:' .. sub, 'status')
  if status ~= 'active' and status ~= 'paused' then return 'UNSUBSCRIBED' end
  if is_superseded(p, article, version, kind) then return 'SUPERSEDED' end
  if state == 'waiting' and redis.call('ZADD', p .. 'due:' .. sub, 'XX', 'CH', now, id) == 1 then
    redis.call('ZADD', p .. 'endpoints', 'LT', now, sub)
  end
  requeue(p, sub, id, now, args.keep)
  return 'OK'
end

-- Cancels a delivery that has not ended. Arguments: id, subscription, keep. Returns OK | MISSING | ENDED.
local function cancel(_, args)
  local p, id, sub, now = args.prefix, args.id, args.subscription, current_time(args)
  local state, whose = unpack(redis.call('HMGET', p .. 'delivery:' .. id, 'state', 'subscription'))
  if not state or whose ~= sub then return 'MISSING' end
  if state ~= 'waiting' and state ~= 'delivering' then return 'ENDED' end
  for _, queue in ipairs({'due:', 'paused:', 'in_flight:', 'superseded_in_flight:'}) do redis.call('ZREM', p .. queue .. sub, id) end
  end_delivery(p, id, 'cancelled', now, args.keep)
  if redis.call('EXISTS', p .. 'due:' .. sub) == 1 then redis.call('ZADD', p .. 'endpoints', 'LT', now, sub) end
  return 'OK'
end

register('replay', replay)
register('cancel', cancel)
