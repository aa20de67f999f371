-- What an endpoint's owner does to it, and is told of it. Builds on queue.lua, subscribing.lua, fan_out.lua and claiming.lua.

-- prefix, id, account, new secret, now (ms), overlap (ms), most former secrets. The old secret goes on signing for that time.
-- Answers MISSING, MANY where too many former ones do so already, or OK.
local function rotate(_, argv)
  local p, id, now = argv[1], argv[2], tonumber(argv[5])
  local key = p .. 'subscription:' .. id
  local account, secret, previous = unpack(redis.call('HMGET', key, 'account', 'secret', 'previous'))
  if account ~= argv[3] then return 'MISSING' end
  local kept = {}
  for _, former in ipairs(cjson.decode(previous or '[]')) do
    if former[2] > now then kept[#kept + 1] = former end
  end
  if tonumber(argv[6]) > 0 then kept[#kept + 1] = {secret, now + tonumber(argv[6])} end
  if #kept > tonumber(argv[7]) then return 'MANY' end
  redis.call('HSET', key, 'secret', argv[4], 'previous', #kept > 0 and cjson.encode(kept) or '[]')
  return 'OK'
end

-- prefix, id, account, now. The endpoint has answered its owner's test: its circuit closes.
local function close_circuit(_, argv)
  local p, id = argv[1], argv[2]
  local key = p .. 'subscription:' .. id
  if redis.call('HGET', key, 'account') ~= argv[3] then return 0 end
  redis.call('HDEL', key, 'failing', 'failing_since', 'probe_at', 'probes')
  if redis.call('EXISTS', p .. 'due:' .. id) == 1 then redis.call('ZADD', p .. 'endpoints', 'LT', moment(p, argv[4]), id) end
  return 1
end

-- How far apart events may be decided out of order, in ms: by several processes, or with clocks that differ.
local LAG = 3600000

-- prefix, id, account, digest, now. Goes on delivering to an endpoint that was disabled, first what was held of it. Answers 0 where the account has no such subscription.
local function enable(_, argv)
  local p, id = argv[1], argv[2]
  local key = p .. 'subscription:' .. id
  local account, status = unpack(redis.call('HMGET', key, 'account', 'status'))
  if account ~= argv[3] then return 0 end
  if status ~= 'disabled' or suspended(p, account) then return 1 end
  local left, since, left_at = unpack(redis.call('HMGET', key, 'left', 'disabled', 'left_at'))
  local back = redis.call('INCR', p .. 'subscriptions:seq')
  redis.call('HSET', key, 'status', 'active')
  redis.call('HDEL', key, 'status_reason', 'disabled', 'left', 'left_at')
  redis.call('SREM', p .. 'disabled', id)
  touch(key)
  join_again(p, id, argv[4])
  local now = moment(p, argv[5])
  release_held(p, id, now)
  -- What was published meanwhile is not for it, but what became of the articles that it was sent is.
  -- The fan-out may have been far behind when it was disabled: it goes on from the entry that was decided last.
  local decided = tonumber(string.match(left_at or since, '^%d+'))
  local from = string.format('%.0f-0', math.max(0, math.min(decided, tonumber(since)) - LAG))
  if left then look_back(p, id, from, since, left, back, 'told', now) end
  return 1
end

-- prefix, id, when it was disabled, account, event id, type, envelope, now, keep. Tells those of an account's endpoints that asked
-- for notices that one of them was disabled, and remembers that this was said. Each of these deliveries holds the envelope itself.
local function tell_owner(_, argv)
  local p, account, event, now = argv[1], argv[4], argv[5], moment(argv[1], argv[8])
  local told = 0
  for _, sub in ipairs(redis.call('ZRANGE', p .. 'subscriptions:' .. account, 0, -1)) do
    local notices, status = unpack(redis.call('HMGET', p .. 'subscription:' .. sub, 'notices', 'status'))
    if notices == '1' and status == 'active' then
      local made = enqueue(p, sub, {id = event, type = argv[6], article = event, version = 0}, 'notice', now, argv[9])
      if made == 1 then redis.call('HSET', p .. 'delivery:' .. delivery_id(event, sub), 'envelope', argv[7]) end
      told = told + made
    end
  end
  if redis.call('HGET', p .. 'subscription:' .. argv[2], 'disabled') == argv[3] then redis.call('SREM', p .. 'disabled', argv[2]) end
  return told
end

register('rotate', rotate)
register('close_circuit', close_circuit)
register('enable', enable)
register('tell_owner', tell_owner)
