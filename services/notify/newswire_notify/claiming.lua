-- What workers do: claim what is due, write down what came of it. Builds on queue.lua and subscribing.lua.

-- prefix, now, lease, limit, cap per endpoint, keep. Answers {{id, attempt, failures, event, type, article, version, reason,
-- subscription, url, secret, content, envelope}, …}.
local function claim(_, argv)
  local p, lease = argv[1], tonumber(argv[3])
  local now = moment(p, argv[2])
  local left, cap, keep = tonumber(argv[4]), tonumber(argv[5]), argv[6]
  local jobs = {}
  for _, sub in ipairs(redis.call('ZRANGEBYSCORE', p .. 'endpoints', '-inf', now, 'LIMIT', 0, left)) do
    if left <= 0 then break end
    local due, leased = p .. 'due:' .. sub, p .. 'leased:' .. sub
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', leased, '-inf', now)) do
      redis.call('ZREM', leased, id)
      local article = redis.call('HGET', p .. 'delivery:' .. id, 'article')
      if redis.call('HGET', p .. 'pending:' .. sub, article) ~= id then
        finish(p, id, 'superseded', now, keep)
      else
        redis.call('HSET', p .. 'delivery:' .. id, 'state', 'waiting')
        wait(p, sub, id, now)
      end
    end
    local url, secret, content = unpack(redis.call('HMGET', p .. 'subscription:' .. sub, 'url', 'secret', 'content'))
    local free = math.min(cap - redis.call('ZCARD', leased), left)
    if free > 0 then
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, free)) do
        local key = p .. 'delivery:' .. id
        local attempt = redis.call('HINCRBY', key, 'attempt', 1)
        redis.call('HSET', key, 'state', 'delivering')
        redis.call('ZREM', due, id)
        redis.call('ZADD', leased, now + lease, id)
        local d = redis.call('HMGET', key, 'failures', 'event', 'type', 'article', 'version', 'reason', 'envelope')
        local envelope = d[7] or redis.call('HGET', p .. 'fanout:' .. d[2], 'envelope') or ''
        jobs[#jobs + 1] = {id, attempt, tonumber(d[1]), d[2], d[3], d[4], tonumber(d[5]), d[6], sub, url, secret, content, envelope}
        left = left - 1
      end
    end
    reschedule(p, sub, cap)
  end
  return jobs
end

-- prefix, id, attempt, outcome (delivered, retry, dead, gone, cancelled, released), now, cap, keep, keep dead, wait, record of the
-- attempt or '', what the endpoint answered. `wait`: until a retry is due. Answers the state the delivery is in now, or false for one whose lease is lost.
local function settle(_, argv)
  local p, id, outcome, cap, keep = argv[1], argv[2], argv[4], tonumber(argv[6]), argv[7]
  local now = moment(p, argv[5])
  local key = p .. 'delivery:' .. id
  local attempt, state, sub, article, event, version = unpack(redis.call('HMGET', key, 'attempt', 'state', 'subscription',
    'article', 'event', 'version'))
  if attempt ~= argv[3] or state ~= 'delivering' then return false end
  redis.call('ZREM', p .. 'leased:' .. sub, id)
  if argv[10] ~= '' then
    redis.call('RPUSH', key .. ':attempts', argv[10])
    redis.call('LTRIM', key .. ':attempts', -20, -1)
    local retracted = redis.call('HGET', p .. 'told:' .. article, 'retracted')
    -- An answer may quote what was sent: none is kept of a version that has been retracted since.
    if argv[11] ~= '' and not (retracted and tonumber(retracted) > tonumber(version) * 2) then
      redis.call('HSET', p .. 'answers:' .. article, id .. '|' .. attempt, argv[11])
      redis.call('PEXPIRE', p .. 'answers:' .. article, math.max(tonumber(keep), tonumber(argv[8])))
    end
  end
  local overtaken = redis.call('HGET', p .. 'pending:' .. sub, article) ~= id
  if outcome == 'retry' or outcome == 'released' then
    if outcome == 'retry' then redis.call('HINCRBY', key, 'failures', 1) end
    if overtaken then
      state = 'superseded'
      finish(p, id, state, now, keep)
    else
      state = 'waiting'
      redis.call('HSET', key, 'state', state)
      wait(p, sub, id, now + tonumber(argv[9]))
    end
  elseif outcome == 'dead' or outcome == 'gone' then
    state = 'dead'
    redis.call('HSET', key, 'envelope', redis.call('HGET', p .. 'fanout:' .. event, 'envelope') or '')
    finish(p, id, state, now, argv[8])
    redis.call('ZADD', p .. 'deliveries:dead', now, id)
    redis.call('ZREMRANGEBYSCORE', p .. 'deliveries:dead', '-inf', now - tonumber(argv[8]))
  else
    state = outcome
    finish(p, id, state, now, keep)
  end
  if outcome == 'gone' then
    redis.call('HSET', p .. 'subscription:' .. sub, 'status', 'disabled')
    touch(p .. 'subscription:' .. sub)
    leave(p, sub)
    cancel_all(p, sub, now, keep)
  else
    reschedule(p, sub, cap)
  end
  return state
end

-- prefix, now. Answers in how many ms some endpoint has work next, or false where none has.
local function next_wait(_, argv)
  local head = redis.call('ZRANGE', argv[1] .. 'endpoints', 0, 0, 'WITHSCORES')
  if not head[2] then return false end
  return math.max(0, math.ceil(tonumber(head[2]) - moment(argv[1], argv[2])))
end

register('claim', claim)
register('settle', settle)
register('next_wait', next_wait)
