-- Subscriptions and their queues of deliveries. Every key is built from the prefix, which contains a hash tag: all keys are in one slot
-- of a Redis Cluster, and the one key passed to each call routes it there.
-- Arguments of every function: `prefix`, and `now` where the caller has a clock of its own. Otherwise the time is that of this server;
-- all workers agree on it, whatever their own clocks say. Times are ms. `keep` is always how long ended deliveries are kept.
-- Keys of one subscription:
--   due:                   waiting deliveries, scored by due time
--   paused:                the same while the subscription is paused or disabled
--   in_flight:             deliveries being sent, scored by the end of their lease
--   superseded_in_flight:  the same, once a later version is due; they no longer count towards the concurrency limit
--   pending:               article -> its delivery that has not ended
-- `endpoints` holds each subscription, scored by the next time at which it has work.

local function entry_before(a, b)
  local ams, aseq = string.match(a, '^(%d+)-(%d+)$')
  local bms, bseq = string.match(b, '^(%d+)-(%d+)$')
  if tonumber(ams) ~= tonumber(bms) then return tonumber(ams) < tonumber(bms) end
  return tonumber(aseq) < tonumber(bseq)
end

-- A clock that goes back by more than this was set back; by less, it is only being adjusted.
local MAX_CLOCK_ADJUSTMENT_MS = 30000

-- Moves all due times and leases back with the clock. Otherwise nothing would be sent until the clock reaches the old time again.
local function shift_clock(p, by)
  for _, sub in ipairs(redis.call('ZRANGE', p .. 'endpoints', 0, -1)) do
    redis.call('ZINCRBY', p .. 'endpoints', -by, sub)
    for _, queue in ipairs({p .. 'due:' .. sub, p .. 'in_flight:' .. sub, p .. 'superseded_in_flight:' .. sub}) do
      for _, id in ipairs(redis.call('ZRANGE', queue, 0, -1)) do redis.call('ZINCRBY', queue, -by, id) end
    end
    for _, field in ipairs({'failing_since', 'probe_at', 'held_until', 'paced_until'}) do
      if redis.call('HEXISTS', p .. 'subscription:' .. sub, field) == 1 then
        redis.call('HINCRBY', p .. 'subscription:' .. sub, field, -by)
      end
    end
  end
end

local function current_time(args)
  local p, now = args.prefix, args.now
  if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  end
  local seen = tonumber(redis.call('GET', p .. 'clock') or now)
  if now < seen - MAX_CLOCK_ADJUSTMENT_MS then
    shift_clock(p, seen - now)
    seen = 0
  end
  if now >= seen + 1000 or seen == now then redis.call('SET', p .. 'clock', string.format('%.0f', now)) end
  return now
end

local function rank_of(version, kind)
  return tonumber(version) * 2 + (kind == 'retracted' and 1 or 0)
end

local function first_score(key)
  return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
end

-- Schedules the next check of an endpoint: when the first of `times` (ms, or nil) has come.
local function schedule(p, sub, times)
  local next
  for _, time in pairs(times) do
    if not next or time < next then next = time end
  end
  if next then redis.call('ZADD', p .. 'endpoints', next, sub) else redis.call('ZREM', p .. 'endpoints', sub) end
end

-- Reads what is in flight to an endpoint: how many deliveries, and the first end of a lease, also of superseded ones. `found` is how many
-- of these two queues exist: most endpoints have neither, which one command shows.
local function read_in_flight(p, sub, found)
  local queues = {sending = 0}
  if found > 0 then
    queues.expiry = first_score(p .. 'in_flight:' .. sub)
    if queues.expiry then queues.sending, found = redis.call('ZCARD', p .. 'in_flight:' .. sub), found - 1 end
  end
  if found > 0 then queues.superseded = first_score(p .. 'superseded_in_flight:' .. sub) end
  return queues
end

-- Reads the queues of an endpoint: what is in flight, and when the first waiting delivery is due.
local function read_queues(p, sub)
  local found = redis.call('EXISTS', p .. 'due:' .. sub, p .. 'in_flight:' .. sub, p .. 'superseded_in_flight:' .. sub)
  local due = found > 0 and first_score(p .. 'due:' .. sub) or nil
  local queues = read_in_flight(p, sub, due and found - 1 or found)
  queues.due = due
  return queues
end

-- Schedules the next check of an endpoint by its queues. Its due deliveries wait until `earliest`, and while `cap` are in flight.
local function reschedule(p, sub, queues, cap, earliest)
  local due = queues.sending < cap and queues.due
  schedule(p, sub, {expiry = queues.expiry, superseded = queues.superseded, due = due and math.max(due, earliest) or nil})
end

-- Counts an ended delivery of an event. Events that are not about an article (version 0) have no totals.
local function count_ended(p, event, article, version, state, by, keep)
  if tonumber(version) == 0 then return end
  local progress = p .. 'progress:' .. event
  if redis.call('HINCRBY', progress, state, by) == by then -- the first one that ended so
    redis.call('HSET', progress, 'article', article, 'version', version)
  end
  redis.call('PEXPIRE', progress, keep)
  redis.call('SADD', p .. 'progressed', event)
end

-- Takes the totals of events that have changed since they were last taken. Arguments: limit. Returns for each event
-- {id, article, version, delivered, dead, superseded, cancelled}; those whose totals have expired are omitted.
local function take_progress(_, args)
  local taken = {}
  for _, event in ipairs(redis.call('SPOP', args.prefix .. 'progressed', args.limit)) do
    local found = redis.call('HMGET', args.prefix .. 'progress:' .. event, 'article', 'version', 'delivered', 'dead', 'superseded',
      'cancelled')
    if found[1] then
      for at = 3, 6 do found[at] = found[at] or '0' end
      taken[#taken + 1] = {event, unpack(found)}
    end
  end
  return taken
end

register('take_progress', take_progress)

-- Memory of an ended delivery in bytes: its record with its list entries, and each attempt. Measured on Valkey 8.
local RECORD_BYTES, ATTEMPT_BYTES, MAX_ATTEMPTS_KEPT = 850, 130, 20

-- Adds an ended delivery to the history of its subscription (history.lua). The first one schedules a trim of that history: once it has
-- been kept for its time. It is trimmed at once where it may exceed `most` bytes (nil: not known here).
local function add_to_history(p, sub, id, attempts, now, keep, most)
  local size = RECORD_BYTES + ATTEMPT_BYTES * math.min(attempts, MAX_ATTEMPTS_KEPT)
  local count = redis.call('RPUSH', p .. 'endings:' .. sub, string.format('%.0f|%d|%s', now, size, id))
  local bytes = redis.call('HINCRBY', p .. 'history:' .. sub, 'bytes', size)
  if not most or bytes > most then
    redis.call('ZADD', p .. 'histories', now, sub)
  elseif count == 1 then
    redis.call('ZADD', p .. 'histories', 'NX', now + keep + 1, sub)
  end
end

-- Ends a delivery. It stays readable for the retention time of ended deliveries.
local function end_delivery(p, id, state, now, keep)
  local key = p .. 'delivery:' .. id
  local sub, article, event, version, attempts = unpack(redis.call('HMGET', key, 'subscription', 'article', 'event', 'version', 'attempt'))
  redis.call('HSET', key, 'state', state, 'ended', string.format('%.0f', now))
  redis.call('PEXPIRE', key, keep)
  redis.call('PEXPIRE', key .. ':attempts', keep)
  add_to_history(p, sub, id, tonumber(attempts), now, keep)
  if redis.call('HGET', p .. 'pending:' .. sub, article) == id then redis.call('HDEL', p .. 'pending:' .. sub, article) end
  count_ended(p, event, article, version, state, 1, keep)
end

-- Enqueues a delivery; holds it while its subscription is paused or disabled.
local function enqueue_or_hold(p, sub, id, due)
  local queue = redis.call('HGET', p .. 'subscription:' .. sub, 'status') == 'active' and 'due:' or 'paused:'
  redis.call('ZADD', p .. queue .. sub, due, id)
end

local function cancel_all(p, sub, now, keep)
  for _, queue in ipairs({'due:', 'paused:', 'in_flight:', 'superseded_in_flight:'}) do
    local state = queue == 'superseded_in_flight:' and 'superseded' or 'cancelled'
    for _, id in ipairs(redis.call('ZRANGE', p .. queue .. sub, 0, -1)) do end_delivery(p, id, state, now, keep) end
    redis.call('DEL', p .. queue .. sub)
  end
  redis.call('DEL', p .. 'pending:' .. sub)
  redis.call('ZREM', p .. 'endpoints', sub)
end
