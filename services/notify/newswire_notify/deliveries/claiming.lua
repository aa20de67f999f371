-- Attempts: settles those that have ended, and claims deliveries that are due. Builds on queue.lua, subscribing.lua,
-- fan_out.lua and endpoint_health.lua.

-- Bytes of responses that are kept for one subscription, and the overhead of each.
local MAX_RESPONSES_BYTES, RESPONSE_OVERHEAD_BYTES = 1048576, 200

-- Whether an event corrects or retracts an article that its recipients were sent.
local function follows_up(version, kind)
  return tonumber(version) > 1 or string.find(kind, 'retracted', 1, true) ~= nil
end

-- Empties the queue of a disabled endpoint: corrections and retractions are held until it is enabled, all other deliveries are
-- cancelled.
local function hold_corrections(p, sub, now, keep)
  for _, queue in ipairs({'due:', 'paused:', 'in_flight:'}) do
    for _, id in ipairs(redis.call('ZRANGE', p .. queue .. sub, 0, -1)) do
      local version, kind = unpack(redis.call('HMGET', p .. 'delivery:' .. id, 'version', 'type'))
      if follows_up(version, kind) then
        redis.call('ZREM', p .. queue .. sub, id)
        redis.call('ZADD', p .. 'paused:' .. sub, now, id)
        redis.call('HSET', p .. 'delivery:' .. id, 'state', 'waiting')
      else
        end_delivery(p, id, 'cancelled', now, keep)
        redis.call('ZREM', p .. queue .. sub, id)
      end
    end
  end
  for _, id in ipairs(redis.call('ZRANGE', p .. 'superseded_in_flight:' .. sub, 0, -1)) do end_delivery(p, id, 'superseded', now, keep) end
  redis.call('DEL', p .. 'superseded_in_flight:' .. sub)
  redis.call('ZREM', p .. 'endpoints', sub)
end

-- Disables a subscription; its owner is notified.
local function disable(p, sub, reason, now, keep)
  local key = p .. 'subscription:' .. sub
  redis.call('HSET', key, 'status', 'disabled', 'status_reason', reason, 'disabled_at', string.format('%.0f', now))
  redis.call('HDEL', key, 'failing', 'failing_since', 'probe_at', 'probes', 'held_until')
  bump_revision(key)
  local left = leave(p, sub)
  if left then redis.call('HSET', key, 'left_seq', left, 'left_entry', redis.call('GET', p .. 'last_decided') or '0-0') end
  hold_corrections(p, sub, now, keep)
  redis.call('SADD', p .. 'disabled', sub)
end

-- Keeps the response of an endpoint, and removes the oldest ones where those of a subscription exceed the limit. Responses are stored by
-- article, because they may quote it and are erased with it; `response_log:` lists them in order as "article|delivery|attempt|bytes".
local function keep_response(p, sub, article, attempt_key, response, ttl)
  local key, list = p .. 'subscription:' .. sub, p .. 'response_log:' .. sub
  redis.call('HSET', p .. 'responses:' .. article, attempt_key, response)
  redis.call('PEXPIRE', p .. 'responses:' .. article, ttl)
  local size = #response + RESPONSE_OVERHEAD_BYTES
  if redis.call('RPUSH', list, article .. '|' .. attempt_key .. '|' .. size) == 1 then redis.call('HDEL', key, 'response_bytes') end
  redis.call('PEXPIRE', list, ttl)
  local bytes = redis.call('HINCRBY', key, 'response_bytes', size)
  while bytes > MAX_RESPONSES_BYTES do
    local oldest = redis.call('LPOP', list)
    if not oldest then break end
    local of, where, taken = string.match(oldest, '^([^|]*)|(.*)|(%d+)$')
    redis.call('HDEL', p .. 'responses:' .. of, where)
    bytes = redis.call('HINCRBY', key, 'response_bytes', -tonumber(taken))
  end
end

-- Records one attempt: the first one in the record of the delivery, whose fields are returned, later ones in a list beside it.
local function record_attempt(p, e, key, s, article, version, keep)
  local first = {}
  if s.record == '' then return first end
  if s.attempt == 1 then
    first = {'first', s.record}
  else
    redis.call('RPUSH', key .. ':attempts', s.record)
  end
  if s.attempt > MAX_ATTEMPTS_KEPT then
    redis.call('HDEL', key, 'first')
    redis.call('LTRIM', key .. ':attempts', -MAX_ATTEMPTS_KEPT, -1)
  end
  if s.response ~= '' and e.exists then
    local retracted = redis.call('HGET', p .. 'article_recipients:' .. article, 'retracted')
    -- A response may quote the article: none is kept for a version that was retracted since.
    if not (retracted and tonumber(retracted) > tonumber(version) * 2) then
      keep_response(p, e.sub, article, s.delivery .. '|' .. s.attempt, s.response, keep)
    end
  end
  return first
end

-- Applies what was decided about one attempt (attempt_decisions.py). Returns the new state of the delivery, or false where its lease was
-- lost. A delivery that would be retried is superseded instead where a later version is enqueued.
local function settle(p, s, now, args, endpoints, totals)
  local id, state = s.delivery, s.state
  local key = p .. 'delivery:' .. id
  local attempt, found, sub, article, event, version = unpack(redis.call('HMGET', key, 'attempt', 'state', 'subscription', 'article',
    'event', 'version'))
  if tonumber(attempt) ~= s.attempt or found ~= 'delivering' then return false end
  local e = endpoints[sub] or endpoint(p, sub, args.per_endpoint, false)
  endpoints[sub] = e
  local superseded = redis.call('ZREM', p .. 'in_flight:' .. sub, id) == 0
  if superseded then redis.call('ZREM', p .. 'superseded_in_flight:' .. sub, id) end
  local first = record_attempt(p, e, key, s, article, version, args.keep_responses)
  if s.health == 'success' then
    record_success(e)
  elseif s.health == 'failure' then
    record_failure(e, now, args.circuit)
  elseif s.health == 'hold' then
    e.held_until = math.max(e.held_until or 0, now + s.wait)
  end
  e.gone = e.gone or s.gone
  if state == 'waiting' then
    if s.failed then redis.call('HINCRBY', key, 'failures', 1) end
    if not superseded then
      redis.call('HSET', key, 'state', 'waiting', unpack(first))
      enqueue_or_hold(p, sub, id, now + s.wait)
      return 'waiting'
    end
    state = 'superseded'
  end
  local keep = state == 'dead' and args.keep_dead or args.keep
  if state == 'dead' then
    redis.call('ZADD', p .. 'deliveries:dead', now, id)
  else
    add_to_history(p, sub, id, s.attempt, now, keep, args.history_bytes)
  end
  redis.call('HSET', key, 'state', state, 'ended', string.format('%.0f', now), unpack(first))
  redis.call('PEXPIRE', key, keep)
  if s.attempt > 1 then redis.call('PEXPIRE', key .. ':attempts', keep) end
  if not superseded then redis.call('HDEL', p .. 'pending:' .. sub, article) end
  local total = event .. '|' .. state
  totals[total] = totals[total] or {event, article, version, state, 0}
  totals[total][5] = totals[total][5] + 1
  return state
end

-- Reclaims deliveries whose lease expired: their worker was killed, or too slow.
local function reclaim_expired(p, sub, now, keep)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', p .. 'superseded_in_flight:' .. sub, '-inf', now)) do
    redis.call('ZREM', p .. 'superseded_in_flight:' .. sub, id)
    end_delivery(p, id, 'superseded', now, keep)
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', p .. 'in_flight:' .. sub, '-inf', now)) do
    redis.call('ZREM', p .. 'in_flight:' .. sub, id)
    if redis.call('HGET', p .. 'pending:' .. sub, redis.call('HGET', p .. 'delivery:' .. id, 'article')) == id then
      redis.call('HSET', p .. 'delivery:' .. id, 'state', 'waiting')
      enqueue_or_hold(p, sub, id, now)
    else
      end_delivery(p, id, 'superseded', now, keep)
    end
  end
end

-- Takes deliveries that are due from the queue of an endpoint, up to `count`. Returns their ids, and when the next one is due (or nil).
local function take_due(p, sub, now, count)
  local due = p .. 'due:' .. sub
  local first = redis.call('ZRANGE', due, 0, count, 'WITHSCORES')
  local taken = {}
  while #taken < count and first[#taken * 2 + 1] and tonumber(first[#taken * 2 + 2]) <= now do taken[#taken + 1] = first[#taken * 2 + 1] end
  if #taken > 0 then redis.call('ZREM', due, unpack(taken)) end
  return taken, tonumber(first[#taken * 2 + 2])
end

-- Adds an endpoint to the result of `claim`.
local function add_endpoint(p, e, found)
  local fields = e.sending or redis.call('HMGET', p .. 'subscription:' .. e.sub, unpack(SENDING_FIELDS))
  for i = 1, #SENDING_FIELDS do fields[i] = fields[i] or '' end
  found.endpoints[#found.endpoints + 1] = {e.sub, unpack(fields)}
end

-- Adds a delivery of an event to the result of `claim`. `articles` as for `claim`.
local function add_delivery(p, sub, id, attempt, failures, event, reason, articles, found)
  local version = tonumber(event.version)
  if not found.events[event.id] then
    found.events[event.id] = true
    local envelope = {event.id, event.envelope or redis.call('HGET', p .. 'event_plan:' .. event.id, 'envelope') or '', event.article,
      version}
    if articles ~= '' then
      envelope[5] = redis.call('HGET', string.format('%s%s:v:%d', articles, event.article, version), 'document') or ''
    end
    found.envelopes[#found.envelopes + 1] = envelope
  end
  found.deliveries[#found.deliveries + 1] = {id, attempt, failures, event.id, event.type, event.article, version, reason, sub}
end

-- Marks a delivery as being sent, and adds it to the result of `claim`.
local function claim_delivery(p, sub, id, articles, found)
  local key = p .. 'delivery:' .. id
  local attempt, failures, event, kind, article, version, reason, envelope = unpack(redis.call('HMGET', key, 'attempt', 'failures',
    'event', 'type', 'article', 'version', 'reason', 'envelope'))
  attempt = tonumber(attempt) + 1
  redis.call('HSET', key, 'attempt', attempt, 'state', 'delivering')
  local e = {id = event, type = kind, article = article, version = version, envelope = envelope}
  add_delivery(p, sub, id, attempt, tonumber(failures), e, reason, articles, found)
end

-- Claims due deliveries of one endpoint, up to `left`, and schedules its next check. `e` is the endpoint, where it is known, with its
-- queues. Returns how many.
local function claim_at_endpoint(p, sub, e, now, left, args, found)
  local in_flight, superseded = p .. 'in_flight:' .. sub, p .. 'superseded_in_flight:' .. sub
  local queues = e and e.queues or read_in_flight(p, sub, redis.call('EXISTS', in_flight, superseded))
  if (queues.expiry or now + 1) <= now or (queues.superseded or now + 1) <= now then
    reclaim_expired(p, sub, now, args.keep)
    queues = read_in_flight(p, sub, redis.call('EXISTS', in_flight, superseded))
  end
  e = e or endpoint(p, sub, args.per_endpoint, true)
  local sending, times = queues.sending, {expiry = queues.expiry, superseded = queues.superseded}
  local taken, next_due = take_due(p, sub, now, free_slots(e, sending, now, left))
  if #taken > 0 then
    local leases, expiry = {}, now + args.lease
    for i, id in ipairs(taken) do
      claim_delivery(p, sub, id, args.articles, found)
      leases[i * 2 - 1], leases[i * 2] = expiry, id
    end
    redis.call('ZADD', in_flight, unpack(leases))
    add_endpoint(p, e, found)
    times.expiry = math.min(times.expiry or expiry, expiry)
    if e.rate then e.paced_until = e.paced_until + #taken * 1000 / e.rate end
  end
  save_endpoint(p, e)
  local cap, earliest = concurrency_limit(e, now)
  if next_due and sending + #taken < cap then
    times.due = math.max(next_due, earliest, e.rate and e.paced_until or 0)
  elseif next_due and next_due <= now then
    found.blocked = 1
  end
  schedule(p, sub, times)
  return #taken
end

-- Returns a function that claims a new delivery, instead of enqueueing it to claim it at once: that of an endpoint which has no other
-- work, and may be sent something now. `enqueue` writes the rest of it. Nil where other endpoints have waited longer.
local function direct_claims(p, now, args, found)
  local head = redis.call('ZRANGE', p .. 'endpoints', 0, 0, 'WITHSCORES')
  if head[2] and tonumber(head[2]) <= now then return nil end
  return function(sub, id, event, reason)
    if #found.deliveries >= args.limit or redis.call('ZSCORE', p .. 'endpoints', sub) then return false end
    local e = endpoint(p, sub, args.per_endpoint, true)
    if free_slots(e, 0, now, 1) == 0 then return false end
    redis.call('ZADD', p .. 'in_flight:' .. sub, now + args.lease, id)
    redis.call('ZADD', p .. 'endpoints', now + args.lease, sub)
    if e.rate then
      e.paced_until = e.paced_until + 1000 / e.rate
      save_endpoint(p, e)
    end
    add_endpoint(p, e, found)
    add_delivery(p, sub, id, 1, 0, event, reason, args.articles, found)
    return true
  end
end

-- What `claim` finds.
local function nothing_claimed()
  return {deliveries = {}, endpoints = {}, envelopes = {}, events = {}, blocked = 0}
end

-- Claims deliveries. Returns {deliveries, endpoints, envelopes, blocked}: for each delivery {id, attempt, failures, event, type,
-- article, version, reason, subscription}; for each endpoint {subscription, url, secret, former secrets, content, headers,
-- entitlement, verified origin}; for each event {id, envelope, article, version, document}, the last where `articles` is the key
-- prefix of the article records, which are then on this server; blocked is 1 where due deliveries are left because as many as
-- allowed are in flight to their endpoint.
local function claim(p, now, args, endpoints, found)
  local left = args.limit - #found.deliveries
  for _, sub in ipairs(redis.call('ZRANGEBYSCORE', p .. 'endpoints', '-inf', now, 'LIMIT', 0, left)) do
    if left <= 0 then break end
    left = left - claim_at_endpoint(p, sub, endpoints[sub], now, left, args, found)
  end
  return {found.deliveries, found.endpoints, found.envelopes, found.blocked}
end

-- Returns in how many ms an endpoint has work, or false where none has.
local function ms_until_work(p, now)
  local head = redis.call('ZRANGE', p .. 'endpoints', 0, 0, 'WITHSCORES')
  return head[2] and math.max(0, math.ceil(tonumber(head[2]) - now)) or false
end

-- Settles attempts, then claims deliveries. Arguments: per_endpoint, the deliveries in flight to each; keep; keep_dead and
-- keep_responses, how long the records of dead deliveries and responses are kept; history_bytes, the limit of a history; circuit:
-- opens_after failures in a row, first_probe and max_probe, disables_after; results, each with its delivery, attempt, record of the
-- attempt ('' for none) and response, and what was decided: state, wait (ms until the next attempt), health (success, failure, hold or
-- none), failed, gone; lease; limit, the number of deliveries to claim; articles, the key prefix of the article records ('' where they
-- are on another server).
-- Returns {states, ms until an endpoint has work, and the results of `claim` ...}.
local function settle_then_claim(p, now, args, found)
  local keep, circuit = args.keep, args.circuit
  local states, endpoints, totals = {}, {}, {}
  for i, settled in ipairs(args.results) do states[i] = settle(p, settled, now, args, endpoints, totals) end
  for _, total in pairs(totals) do count_ended(p, total[1], total[2], total[3], total[4], total[5], keep) end
  for sub, e in pairs(endpoints) do
    if e.gone and e.exists then
      disable(p, sub, 'gone', now, keep)
    elseif e.exists and (e.failing or 0) >= circuit.opens_after and now - e.failing_since >= circuit.disables_after then
      disable(p, sub, 'failing', now, keep)
    else
      save_endpoint(p, e)
      reschedule_endpoint(p, e, now)
    end
  end
  local claimed = {}
  if args.limit > 0 then claimed = claim(p, now, args, endpoints, found) end
  return {states, ms_until_work(p, now), unpack(claimed)}
end

local function settle_and_claim(_, args)
  return settle_then_claim(args.prefix, current_time(args), args, nothing_claimed())
end

-- Plans events, enqueues their first deliveries, settles attempts and claims deliveries. Arguments: those of `plan_events`; and `turn`,
-- those of `settle_and_claim`. Returns the results of both.
local function fan_out(_, args, argv)
  local p, now, turn, found = args.prefix, current_time(args), args.turn, nothing_claimed()
  local progress = plan_events(p, now, args, argv, turn.limit > 0 and direct_claims(p, now, turn, found) or nil)
  return {progress, settle_then_claim(p, now, turn, found)}
end

register('settle_and_claim', settle_and_claim)
register('fan_out', fan_out)
