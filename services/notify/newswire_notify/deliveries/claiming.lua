-- Attempts: what came of those that have ended, and what is to be tried next. Builds on queue.lua and subscribing.lua.
-- The fields of a subscription that belong to its endpoint: `failing` (failures in a row), `failing_since`, `probe_at` and `probes`
-- (the circuit is open: one attempt at that time, and so many were made), `held_until` (the endpoint asked for a pause) and
-- `paced_until` (when its next delivery may begin, where it takes only so many a second).

local PACING = 100
local FIRST_PROBE, LAST_PROBE = 30000, 300000
-- Bytes of answers that are kept for one subscription, and what each takes besides.
local MOST_ANSWERS, OVERHEAD = 1048576, 200
-- How much longer than dead deliveries are kept their records last, so that it is known whose they were when they are removed.
local DEAD_MARGIN = 86400000

-- Whether an event corrects or withdraws what its recipients were sent.
local function follows_up(version, kind)
  return tonumber(version) > 1 or string.find(kind, 'retracted', 1, true) ~= nil
end

-- Takes what waits at an endpoint out of its queue: what corrects or withdraws what it was sent is held until it is enabled, all
-- else is cancelled.
local function hold_corrections(p, sub, now, keep)
  for _, queue in ipairs({'due:', 'held:', 'leased:'}) do
    for _, id in ipairs(redis.call('ZRANGE', p .. queue .. sub, 0, -1)) do
      local version, kind = unpack(redis.call('HMGET', p .. 'delivery:' .. id, 'version', 'type'))
      if follows_up(version, kind) then
        redis.call('ZREM', p .. queue .. sub, id)
        redis.call('ZADD', p .. 'held:' .. sub, now, id)
        redis.call('HSET', p .. 'delivery:' .. id, 'state', 'waiting')
      else
        finish(p, id, 'cancelled', now, keep)
        redis.call('ZREM', p .. queue .. sub, id)
      end
    end
  end
  for _, id in ipairs(redis.call('ZRANGE', p .. 'overtaken:' .. sub, 0, -1)) do finish(p, id, 'superseded', now, keep) end
  redis.call('DEL', p .. 'overtaken:' .. sub)
  redis.call('ZREM', p .. 'endpoints', sub)
end

-- Stops all deliveries to an endpoint; its owner is told of it.
local function disable(p, sub, reason, now, keep)
  local key = p .. 'subscription:' .. sub
  redis.call('HSET', key, 'status', 'disabled', 'status_reason', reason, 'disabled', string.format('%.0f', now))
  redis.call('HDEL', key, 'failing', 'failing_since', 'probe_at', 'probes', 'held_until')
  touch(key)
  local left = leave(p, sub)
  if left then redis.call('HSET', key, 'left', left, 'left_at', redis.call('GET', p .. 'last_decided') or '0-0') end
  hold_corrections(p, sub, now, keep)
  redis.call('SADD', p .. 'disabled', sub)
end

-- What is known of an endpoint, read once for all that is done with it. `was` keeps what stands in Redis.
local HEALTH = {'failing', 'failing_since', 'probe_at', 'probes', 'held_until', 'paced_until'}

local function endpoint(p, sub, cap)
  local found = redis.call('HMGET', p .. 'subscription:' .. sub, 'status', 'concurrency', 'rate', unpack(HEALTH))
  local e = {sub = sub, exists = found[1] and true, cap = math.min(cap, tonumber(found[2]) or cap), rate = tonumber(found[3]), was = {}}
  for i, field in ipairs(HEALTH) do
    e[field] = tonumber(found[i + 3])
    e.was[field] = e[field]
  end
  return e
end

local function remember(p, e)
  if not e.exists then return end
  local key, changed = p .. 'subscription:' .. e.sub, {}
  for _, field in ipairs(HEALTH) do
    if e[field] ~= e.was[field] then
      if e[field] then
        changed[#changed + 1] = field
        changed[#changed + 1] = string.format('%.0f', e[field])
      else
        redis.call('HDEL', key, field)
      end
      e.was[field] = e[field]
    end
  end
  if #changed > 0 then redis.call('HSET', key, unpack(changed)) end
end

local function recovered(e)
  e.failing, e.failing_since, e.probe_at, e.probes, e.held_until = nil, nil, nil, nil, nil
end

local function failed(e, now, most)
  e.failing = (e.failing or 0) + 1
  e.failing_since = e.failing_since or now
  if e.failing < most then return end
  if not e.probe_at then
    e.probes, e.probe_at = 0, now + FIRST_PROBE
  elseif now >= e.probe_at then -- what began before the circuit opened says nothing new
    e.probes = e.probes + 1
    e.probe_at = now + math.min(FIRST_PROBE * 2 ^ e.probes, LAST_PROBE)
  end
end

-- How many deliveries may be in flight to an endpoint, and when the next one may begin.
local function limits(e, now)
  local earliest = math.max(now, e.held_until or 0)
  if not e.probe_at then return e.cap, earliest end
  return 1, math.max(earliest, e.probe_at)
end

local function look_again(p, e, now)
  local cap, earliest = limits(e, now)
  if e.rate then earliest = math.max(earliest, e.paced_until or 0) end
  reschedule(p, e.sub, cap, earliest)
end

-- Keeps what an endpoint answered, and forgets its oldest answers where those of one subscription take too much. They are kept by
-- article, for they may quote what was sent; `answered:` names them in their order as "article|delivery|attempt|bytes".
local function keep_answer(p, sub, article, place, answer, ttl)
  local key, list = p .. 'subscription:' .. sub, p .. 'answered:' .. sub
  redis.call('HSET', p .. 'answers:' .. article, place, answer)
  redis.call('PEXPIRE', p .. 'answers:' .. article, ttl)
  local size = #answer + OVERHEAD
  if redis.call('RPUSH', list, article .. '|' .. place .. '|' .. size) == 1 then redis.call('HDEL', key, 'answer_bytes') end
  redis.call('PEXPIRE', list, ttl)
  local bytes = redis.call('HINCRBY', key, 'answer_bytes', size)
  while bytes > MOST_ANSWERS do
    local oldest = redis.call('LPOP', list)
    if not oldest then break end
    local of, where, taken = string.match(oldest, '^([^|]*)|(.*)|(%d+)$')
    redis.call('HDEL', p .. 'answers:' .. of, where)
    bytes = redis.call('HINCRBY', key, 'answer_bytes', -tonumber(taken))
  end
end

-- Writes down how one attempt ended: the first stands in the delivery's own record, the others in a list beside it. Answers the state the delivery is in now, or false for one whose lease is lost.
local function settle(p, s, now, keep, keep_dead, most, endpoints, totals, cap)
  local id, attempt, outcome, pause, record, answer = unpack(s)
  local key = p .. 'delivery:' .. id
  local current, state, sub, article, event, version, kind = unpack(redis.call('HMGET', key, 'attempt', 'state', 'subscription',
    'article', 'event', 'version', 'type'))
  if tonumber(current) ~= attempt or state ~= 'delivering' then return false end
  local e = endpoints[sub] or endpoint(p, sub, cap)
  endpoints[sub] = e
  local overtaken = redis.call('ZREM', p .. 'leased:' .. sub, id) == 0
  if overtaken then redis.call('ZREM', p .. 'overtaken:' .. sub, id) end
  local first = {}
  if record ~= '' then
    if attempt == 1 then
      first = {'first', record}
    else
      redis.call('RPUSH', key .. ':attempts', record)
    end
    if attempt > 20 then
      redis.call('HDEL', key, 'first')
      redis.call('LTRIM', key .. ':attempts', -20, -1)
    end
    if answer ~= '' then
      local retracted = redis.call('HGET', p .. 'told:' .. article, 'retracted')
      -- An answer may quote what was sent: none is kept of a version that has been retracted since.
      if e.exists and not (retracted and tonumber(retracted) > tonumber(version) * 2) then
        keep_answer(p, sub, article, id .. '|' .. attempt, answer, math.max(keep, keep_dead))
      end
    end
  end
  if outcome == 'delivered' then
    recovered(e)
  elseif outcome == 'held' then
    e.held_until = math.max(e.held_until or 0, now + pause)
  elseif outcome == 'retry' or outcome == 'dead' then
    failed(e, now, most)
  end
  e.gone = e.gone or outcome == 'gone'
  -- It waits until the endpoint is enabled again: its subscription is disabled in a moment.
  if outcome == 'gone' and follows_up(version, kind) then outcome = 'retry' end
  local kept = keep
  if outcome == 'retry' or outcome == 'held' or outcome == 'released' then
    if outcome ~= 'released' then redis.call('HINCRBY', key, 'failures', 1) end
    if not overtaken then
      redis.call('HSET', key, 'state', 'waiting', unpack(first))
      let_wait(p, sub, id, now + pause)
      return 'waiting'
    end
    state = 'superseded'
  elseif outcome == 'dead' or outcome == 'gone' then
    state, kept = 'dead', keep_dead + DEAD_MARGIN
    redis.call('ZADD', p .. 'deliveries:dead', now, id)
  else
    state = outcome
  end
  redis.call('HSET', key, 'state', state, 'ended', string.format('%.0f', now), unpack(first))
  redis.call('PEXPIRE', key, kept)
  if state ~= 'dead' then add_to_history(p, sub, id, attempt, now) end
  if attempt > 1 then redis.call('PEXPIRE', key .. ':attempts', kept) end
  if not overtaken then redis.call('HDEL', p .. 'pending:' .. sub, article) end
  local total = event .. '|' .. state
  totals[total] = totals[total] or {event, article, version, state, 0}
  totals[total][5] = totals[total][5] + 1
  return state
end

-- Takes back what was claimed and not settled in time, by somebody who was killed.
local function take_back(p, sub, now, keep)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', p .. 'overtaken:' .. sub, '-inf', now)) do
    redis.call('ZREM', p .. 'overtaken:' .. sub, id)
    finish(p, id, 'superseded', now, keep)
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', p .. 'leased:' .. sub, '-inf', now)) do
    redis.call('ZREM', p .. 'leased:' .. sub, id)
    if redis.call('HGET', p .. 'pending:' .. sub, redis.call('HGET', p .. 'delivery:' .. id, 'article')) == id then
      redis.call('HSET', p .. 'delivery:' .. id, 'state', 'waiting')
      let_wait(p, sub, id, now)
    else
      finish(p, id, 'superseded', now, keep)
    end
  end
end

-- How many deliveries an endpoint may be sent at this moment, of so many that it could get.
local function free(p, e, now, left)
  local cap, earliest = limits(e, now)
  if earliest > now then return 0 end
  local count = math.min(cap - redis.call('ZCARD', p .. 'leased:' .. e.sub), left)
  if e.rate and count > 0 then
    e.paced_until = math.max(e.paced_until or 0, now - PACING)
    count = math.min(count, math.floor((now - e.paced_until) * e.rate / 1000) + 1)
  end
  return count
end

-- Answers {jobs, endpoints, envelopes}: of each job {delivery, attempt, failures, event, type, article, version, reason,
-- subscription}, of each endpoint {subscription, url, secret, previous secrets, content, headers, entitlement, verified origin}, of each
-- event {id, envelope, article, version, document}, the last where `articles` is what the names of the articles' records begin with: they are on this server.
local function claim(p, now, lease, left, cap, keep, articles)
  local jobs, endpoints, envelopes, rendered = {}, {}, {}, {}
  for _, sub in ipairs(redis.call('ZRANGEBYSCORE', p .. 'endpoints', '-inf', now, 'LIMIT', 0, left)) do
    if left <= 0 then break end
    take_back(p, sub, now, keep)
    local e = endpoint(p, sub, cap)
    local count = free(p, e, now, left)
    local taken = {}
    if count > 0 then taken = redis.call('ZRANGEBYSCORE', p .. 'due:' .. sub, '-inf', now, 'LIMIT', 0, count) end
    if #taken > 0 then
      local about = redis.call('HMGET', p .. 'subscription:' .. sub, 'url', 'secret', 'previous', 'content', 'headers', 'entitlement',
        'verified_origin')
      endpoints[#endpoints + 1] = {sub, about[1], about[2], about[3] or '', about[4], about[5] or '', about[6] or '', about[7] or ''}
      redis.call('ZREM', p .. 'due:' .. sub, unpack(taken))
      local leases = {}
      for i, id in ipairs(taken) do
        local key = p .. 'delivery:' .. id
        local d = redis.call('HMGET', key, 'attempt', 'failures', 'event', 'type', 'article', 'version', 'reason', 'envelope')
        local attempt = tonumber(d[1]) + 1
        redis.call('HSET', key, 'attempt', attempt, 'state', 'delivering')
        if not rendered[d[3]] then
          rendered[d[3]] = true
          local said = {d[3], d[8] or redis.call('HGET', p .. 'fanout:' .. d[3], 'envelope') or '', d[5], tonumber(d[6])}
          if articles ~= '' then said[5] = redis.call('HGET', articles .. d[5] .. ':v:' .. d[6], 'document') or '' end
          envelopes[#envelopes + 1] = said
        end
        jobs[#jobs + 1] = {id, attempt, tonumber(d[2]), d[3], d[4], d[5], tonumber(d[6]), d[7], sub}
        leases[i * 2 - 1], leases[i * 2] = now + lease, id
      end
      redis.call('ZADD', p .. 'leased:' .. sub, unpack(leases))
      left = left - #taken
      if e.rate then e.paced_until = e.paced_until + #taken * 1000 / e.rate end
    end
    remember(p, e)
    look_again(p, e, now)
  end
  return {jobs, endpoints, envelopes}
end

-- In how many ms some endpoint has work, or false where none has.
local function until_work(p, now)
  local head = redis.call('ZRANGE', p .. 'endpoints', 0, 0, 'WITHSCORES')
  return head[2] and math.max(0, math.ceil(tonumber(head[2]) - now)) or false
end

-- prefix, now, most in flight per endpoint, keep, keep dead, failures in a row that open a circuit, failures for so long that
-- disable, what has ended (JSON: [delivery, attempt, outcome (delivered, retry, held, dead, gone, cancelled, released), ms until
-- it is tried again, record of the attempt or '', what the endpoint answered], …), lease, how many to claim,
-- what the names of articles' records begin with, or '' where they are on another server.
-- Answers {states, ms until some endpoint has work, jobs, endpoints, envelopes}.
local function exchange(_, argv)
  local p, now = argv[1], moment(argv[1], argv[2])
  local cap, keep, keep_dead, most, patience = tonumber(argv[3]), tonumber(argv[4]), tonumber(argv[5]), tonumber(argv[6]), tonumber(argv[7])
  local states, endpoints, totals = {}, {}, {}
  if argv[8] ~= '' then
    for i, settled in ipairs(cjson.decode(argv[8])) do
      states[i] = settle(p, settled, now, keep, keep_dead, most, endpoints, totals, cap)
    end
  end
  for _, total in pairs(totals) do count(p, total[1], total[2], total[3], total[4], total[5], keep) end
  for sub, e in pairs(endpoints) do
    if e.gone and e.exists then
      disable(p, sub, 'gone', now, keep)
    elseif e.exists and (e.failing or 0) >= most and now - e.failing_since >= patience then
      disable(p, sub, 'failing', now, keep)
    else
      remember(p, e)
      look_again(p, e, now)
    end
  end
  local claimed = {}
  if tonumber(argv[10]) > 0 then claimed = claim(p, now, tonumber(argv[9]), tonumber(argv[10]), cap, keep, argv[11]) end
  return {states, until_work(p, now), unpack(claimed)}
end

register('exchange', exchange)
