-- Subscriptions and their queue of deliveries. Every name is built from the prefix, which is the first argument of each call and
-- holds a hash tag: all names are on one slot of a Redis Cluster, to which the one key of each call leads.
-- Times are ms. `now` is '' for the time of this server, on which all workers agree whatever their own clocks say.
-- Per subscription: `due:` (waiting deliveries by due time), `held:` (the same while it is paused or disabled), `leased:` (those in flight by end
-- of lease), `overtaken:` (those in flight of which a later version is due already, so that they count no more), `pending:` (article →
-- its delivery that has not ended). `endpoints` holds each subscription at the next time at which there is work for it.

local function less(a, b)
  local ams, aseq = string.match(a, '^(%d+)-(%d+)$')
  local bms, bseq = string.match(b, '^(%d+)-(%d+)$')
  if tonumber(ams) ~= tonumber(bms) then return tonumber(ams) < tonumber(bms) end
  return tonumber(aseq) < tonumber(bseq)
end

-- A clock that goes back by more than this has been set back; by less, it is only being adjusted.
local SET_BACK = 30000

-- Takes everything that waits or is leased back with the clock, or it would lie still until the old time comes round again.
local function set_back(p, by)
  for _, sub in ipairs(redis.call('ZRANGE', p .. 'endpoints', 0, -1)) do
    redis.call('ZINCRBY', p .. 'endpoints', -by, sub)
    for _, queue in ipairs({p .. 'due:' .. sub, p .. 'leased:' .. sub, p .. 'overtaken:' .. sub}) do
      for _, id in ipairs(redis.call('ZRANGE', queue, 0, -1)) do redis.call('ZINCRBY', queue, -by, id) end
    end
    for _, field in ipairs({'failing_since', 'probe_at', 'held_until', 'paced_until'}) do
      if redis.call('HEXISTS', p .. 'subscription:' .. sub, field) == 1 then
        redis.call('HINCRBY', p .. 'subscription:' .. sub, field, -by)
      end
    end
  end
end

local function moment(p, given)
  local now = tonumber(given)
  if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  end
  local seen = tonumber(redis.call('GET', p .. 'clock') or now)
  if now < seen - SET_BACK then
    set_back(p, seen - now)
    seen = 0
  end
  if now >= seen + 1000 or seen == now then redis.call('SET', p .. 'clock', string.format('%.0f', now)) end
  return now
end

local function rank_of(version, kind)
  return tonumber(version) * 2 + (kind == 'retracted' and 1 or 0)
end

-- Works out when an endpoint is next to be looked at: not before `earliest`, which puts one that was just served behind the others.
local function reschedule(p, sub, cap, earliest)
  local due, leased = p .. 'due:' .. sub, p .. 'leased:' .. sub
  local in_flight = redis.call('ZCARD', leased)
  local next
  if in_flight < cap then
    next = tonumber(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2])
    if next and next < earliest then next = earliest end
  end
  if in_flight > 0 then
    local expiry = tonumber(redis.call('ZRANGE', leased, 0, 0, 'WITHSCORES')[2])
    if not next or expiry < next then next = expiry end
  end
  local overtaken = tonumber(redis.call('ZRANGE', p .. 'overtaken:' .. sub, 0, 0, 'WITHSCORES')[2])
  if overtaken and (not next or overtaken < next) then next = overtaken end
  if next then redis.call('ZADD', p .. 'endpoints', next, sub) else redis.call('ZREM', p .. 'endpoints', sub) end
end

-- Counts that a delivery of an event ended; what is no article's has no totals.
local function count(p, event, article, version, state, by, keep)
  if tonumber(version) == 0 then return end
  local progress = p .. 'progress:' .. event
  redis.call('HSET', progress, 'article', article, 'version', version)
  redis.call('HINCRBY', progress, state, by)
  redis.call('PEXPIRE', progress, keep)
  redis.call('SADD', p .. 'progressed', event)
end

-- What an ended delivery takes of memory, in bytes: its record, its places in lists, and each attempt. Measured on Valkey 8.
local RECORD_BYTES, ATTEMPT_BYTES, MOST_ATTEMPTS = 850, 130, 20

-- Puts a delivery that has ended into the history of its subscription (history.lua), which is looked at soon.
local function add_to_history(p, sub, id, attempts, now)
  local size = RECORD_BYTES + ATTEMPT_BYTES * math.min(attempts, MOST_ATTEMPTS)
  redis.call('RPUSH', p .. 'endings:' .. sub, string.format('%.0f|%d|%s', now, size, id))
  redis.call('HINCRBY', p .. 'history:' .. sub, 'bytes', size)
  redis.call('ZADD', p .. 'histories', now, sub)
end

-- Ends a delivery; it stays readable for as long as ended ones are kept.
local function finish(p, id, state, now, keep)
  local key = p .. 'delivery:' .. id
  local sub, article, event, version, attempts = unpack(redis.call('HMGET', key, 'subscription', 'article', 'event', 'version', 'attempt'))
  redis.call('HSET', key, 'state', state, 'ended', string.format('%.0f', now))
  redis.call('PEXPIRE', key, keep)
  redis.call('PEXPIRE', key .. ':attempts', keep)
  add_to_history(p, sub, id, tonumber(attempts), now)
  if redis.call('HGET', p .. 'pending:' .. sub, article) == id then redis.call('HDEL', p .. 'pending:' .. sub, article) end
  count(p, event, article, version, state, 1, keep)
end

-- Lets a delivery wait until it is due, or until its subscription is resumed or enabled.
local function let_wait(p, sub, id, due)
  local queue = redis.call('HGET', p .. 'subscription:' .. sub, 'status') == 'active' and 'due:' or 'held:'
  redis.call('ZADD', p .. queue .. sub, due, id)
end

local function cancel_all(p, sub, now, keep)
  for queue, state in pairs({['due:'] = 'cancelled', ['held:'] = 'cancelled', ['leased:'] = 'cancelled', ['overtaken:'] = 'superseded'}) do
    for _, id in ipairs(redis.call('ZRANGE', p .. queue .. sub, 0, -1)) do finish(p, id, state, now, keep) end
    redis.call('DEL', p .. queue .. sub)
  end
  redis.call('DEL', p .. 'pending:' .. sub)
  redis.call('ZREM', p .. 'endpoints', sub)
end
