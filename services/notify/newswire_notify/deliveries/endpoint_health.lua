-- The health of endpoints: what the results of attempts say about them, and when and how much may be sent to them. Builds on queue.lua.
-- The fields of a subscription that describe its endpoint: `failing` (failures in a row), `failing_since`, `probe_at` and `probes` (the
-- circuit is open: the time of the next probe, and the number of probes made), `held_until` (the endpoint sent Retry-After) and
-- `paced_until` (when the next delivery may begin, where the endpoint has a rate limit).

local PACING_BURST_MS = 100

-- The health of an endpoint, read once per call. `was` is the state in Redis.
local HEALTH_FIELDS = {'failing', 'failing_since', 'probe_at', 'probes', 'held_until', 'paced_until'}

-- Where and how deliveries are sent to an endpoint.
local SENDING_FIELDS = {'url', 'secret', 'former_secrets', 'content', 'headers', 'entitlement', 'verified_origin'}

-- Reads an endpoint; `with_sending`, also where and how deliveries are sent, for one that will probably be sent something.
local function endpoint(p, sub, cap, with_sending)
  local key, found = p .. 'subscription:' .. sub
  if with_sending then
    found = redis.call('HMGET', key, 'status', 'concurrency', 'rate', 'failing', 'failing_since', 'probe_at', 'probes', 'held_until',
      'paced_until', unpack(SENDING_FIELDS))
  else
    found = redis.call('HMGET', key, 'status', 'concurrency', 'rate', unpack(HEALTH_FIELDS))
  end
  local e = {sub = sub, exists = found[1] and true, cap = math.min(cap, tonumber(found[2]) or cap), rate = tonumber(found[3]), was = {}}
  for i, field in ipairs(HEALTH_FIELDS) do
    e[field] = tonumber(found[i + 3])
    e.was[field] = e[field]
  end
  if with_sending then e.sending = {unpack(found, 4 + #HEALTH_FIELDS)} end
  return e
end

local function save_endpoint(p, e)
  if not e.exists then return end
  local key, changed = p .. 'subscription:' .. e.sub, {}
  for _, field in ipairs(HEALTH_FIELDS) do
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

local function record_success(e)
  e.failing, e.failing_since, e.probe_at, e.probes, e.held_until = nil, nil, nil, nil, nil
end

local function record_failure(e, now, circuit)
  e.failing = (e.failing or 0) + 1
  e.failing_since = e.failing_since or now
  if e.failing < circuit.opens_after then return end
  if not e.probe_at then
    e.probes, e.probe_at = 0, now + circuit.first_probe
  elseif now >= e.probe_at then -- attempts that began before the circuit opened do not count
    e.probes = e.probes + 1
    e.probe_at = now + math.min(circuit.first_probe * 2 ^ e.probes, circuit.max_probe)
  end
end

-- Returns the number of deliveries that may be in flight to an endpoint, and when the next one may begin.
local function concurrency_limit(e, now)
  local earliest = math.max(now, e.held_until or 0)
  if not e.probe_at then return e.cap, earliest end
  return 1, math.max(earliest, e.probe_at)
end

local function reschedule_endpoint(p, e, now)
  local cap, earliest = concurrency_limit(e, now)
  if e.rate then earliest = math.max(earliest, e.paced_until or 0) end
  e.queues = read_queues(p, e.sub)
  reschedule(p, e.sub, e.queues, cap, earliest)
end

-- Returns the number of deliveries, up to `left`, that may begin at an endpoint now.
local function free_slots(e, in_flight, now, left)
  local cap, earliest = concurrency_limit(e, now)
  if earliest > now then return 0 end
  local count = math.min(cap - in_flight, left)
  if e.rate and count > 0 then
    e.paced_until = math.max(e.paced_until or 0, now - PACING_BURST_MS)
    count = math.min(count, math.floor((now - e.paced_until) * e.rate / 1000) + 1)
  end
  return math.max(count, 0)
end
