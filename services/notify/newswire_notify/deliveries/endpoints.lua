-- Operations on an endpoint by its owner, and notices to the owner. Builds on queue.lua, subscribing.lua, fan_out.lua and claiming.lua.

-- Replaces the secret; the former one also signs for the overlap. Arguments: id; account; secret, the new one; now; overlap (ms);
-- former_secrets, their maximum. Returns OK | MISSING | TOO_MANY, where too many former secrets are still valid.
local function rotate_secret(_, args)
  local key, now = args.prefix .. 'subscription:' .. args.id, args.now
  local account, secret, previous = unpack(redis.call('HMGET', key, 'account', 'secret', 'former_secrets'))
  if account ~= args.account then return 'MISSING' end
  local kept = {}
  for _, former in ipairs(cjson.decode(previous or '[]')) do
    if former[2] > now then kept[#kept + 1] = former end
  end
  if args.overlap > 0 then kept[#kept + 1] = {secret, now + args.overlap} end
  if #kept > args.former_secrets then return 'TOO_MANY' end
  redis.call('HSET', key, 'secret', args.secret, 'former_secrets', #kept > 0 and cjson.encode(kept) or '[]')
  return 'OK'
end

-- Closes the circuit of an endpoint that accepted a test event. Arguments: id, account.
local function close_circuit(_, args)
  local p, id = args.prefix, args.id
  local key = p .. 'subscription:' .. id
  if redis.call('HGET', key, 'account') ~= args.account then return 0 end
  redis.call('HDEL', key, 'failing', 'failing_since', 'probe_at', 'probes')
  if redis.call('EXISTS', p .. 'due:' .. id) == 1 then redis.call('ZADD', p .. 'endpoints', 'LT', current_time(args), id) end
  return 1
end

-- Enqueues a notice that a subscription was disabled, for the endpoints of its account that ask for notices, and records that this was
-- done. Arguments: id; disabled_at, as it is stored; account; event and type, its id and type; envelope; keep. Each of these deliveries
-- contains the envelope itself. Returns the number of deliveries.
local function notify_owner(_, args)
  local p, event, now = args.prefix, args.event, current_time(args)
  local enqueued = 0
  for _, sub in ipairs(redis.call('ZRANGE', p .. 'subscriptions:' .. args.account, 0, -1)) do
    local notices, status = unpack(redis.call('HMGET', p .. 'subscription:' .. sub, 'notices', 'status'))
    if notices == '1' and status == 'active' then
      local made = enqueue(p, sub, {id = event, type = args.type, article = event, version = 0}, 'notice', now, args.keep)
      if made == 1 then redis.call('HSET', p .. 'delivery:' .. delivery_id(event, sub), 'envelope', args.envelope) end
      enqueued = enqueued + made
    end
  end
  if redis.call('HGET', p .. 'subscription:' .. args.id, 'disabled_at') == args.disabled_at then
    redis.call('SREM', p .. 'disabled', args.id)
  end
  return enqueued
end

register('rotate_secret', rotate_secret)
register('close_circuit', close_circuit)
register('notify_owner', notify_owner)
