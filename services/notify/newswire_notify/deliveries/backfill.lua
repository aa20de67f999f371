-- Backfills: past events matched for one subscription alone, when it starts in the past, was paused, or asks for a replay. Builds on
-- fan_out.lua.

-- Waiting deliveries of an endpoint above which its backfill stands still, so that new events do not wait behind many old ones.
local MAX_WAITING = 100
-- How often a backfill of an inactive subscription is checked, in ms.
local INACTIVE_RECHECK_MS = 5000

-- Claims the backfill that has waited longest. Arguments: prefix, now, lease (ms). Returns {id, subscription, cursor, end entry, mode},
-- or false where none can proceed now.
local function claim_backfill(_, argv)
  local p, lease = argv[1], tonumber(argv[3])
  local now = current_time(p, argv[2])
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', p .. 'backfills', '-inf', now, 'LIMIT', 0, 20)) do
    local sub, at, upto, again = unpack(redis.call('HMGET', p .. 'backfill:' .. id, 'subscription', 'cursor', 'end_entry', 'mode'))
    local status = redis.call('HGET', p .. 'subscription:' .. (sub or ''), 'status')
    if not status then
      redis.call('ZREM', p .. 'backfills', id)
      redis.call('DEL', p .. 'backfill:' .. id)
    elseif status ~= 'active' then
      redis.call('ZADD', p .. 'backfills', now + INACTIVE_RECHECK_MS, id)
    elseif redis.call('ZCARD', p .. 'due:' .. sub) + redis.call('ZCARD', p .. 'in_flight:' .. sub) >= MAX_WAITING then
      redis.call('ZADD', p .. 'backfills', now + 500, id)
    else
      redis.call('ZADD', p .. 'backfills', now + lease, id)
      redis.call('HSET', p .. 'backfill:' .. id, 'state', 'running')
      return {id, sub, at, upto or '', again}
    end
  end
  return false
end

-- The current and past memberships of a subscription: {digest, joined, after, left or nil}.
local function memberships(p, sub)
  local digest, joined, after, attached, past = unpack(redis.call('HMGET', p .. 'subscription:' .. sub, 'digest', 'joined_seq', 'after_entry',
    'attached', 'past_memberships'))
  local found = {{sub, 0, '0-0'}}
  for past_digest, since, entry, left in string.gmatch(past or '', MEMBERSHIP) do
    found[#found + 1] = {past_digest, tonumber(since), entry, tonumber(left)}
  end
  if attached == '1' then found[#found + 1] = {digest, tonumber(joined), after} end
  return found
end

-- Advances a backfill: enqueues deliveries of one subscription and stores the progress, in one step. Arguments: prefix, id of the
-- backfill, its former cursor, its new cursor, its end, whether that is reached ('1'), now, retention of ended deliveries, the number
-- of entries examined; then for each event: id, type, kind (published or retracted), article, version, entry, envelope, whether the
-- subscription matches it ('1'). An event is delivered where the subscription matches it or was sent an earlier version, unless a later
-- version supersedes it or a fan-out covered the subscription.
-- Returns the number of deliveries, or -1 where another process has advanced the backfill.
local function advance_backfill(_, argv)
  local p, backfill = argv[1], argv[1] .. 'backfill:' .. argv[2]
  local sub, at, mode, first, last = unpack(redis.call('HMGET', backfill, 'subscription', 'cursor', 'mode', 'first_seq', 'last_seq'))
  if at ~= argv[3] then return -1 end
  local now, keep = current_time(p, argv[7]), argv[8]
  if redis.call('HGET', p .. 'subscription:' .. sub, 'status') ~= 'active' then return 0 end
  local mine, enqueued = memberships(p, sub), 0
  local upto = redis.call('GET', p .. 'membership_seq')
  local repeated = mode == 'all'
  for i = 10, #argv, 8 do
    local e = {id = argv[i], type = argv[i + 1], article = argv[i + 3], version = argv[i + 4]}
    local entry, recipients = argv[i + 5], p .. 'article_recipients:' .. argv[i + 3]
    local latest, latest_event, begun = unpack(redis.call('HMGET', recipients, 'rank', 'event', 'membership_seq'))
    latest = tonumber(latest)
    begun = tonumber(latest_event == e.id and begun or redis.call('HGET', p .. 'event_plan:' .. e.id, 'membership_seq'))
    local seen = not repeated and begun and (begun < tonumber(first) or begun >= tonumber(last))
    local replaced = latest and latest > rank_of(e.version, argv[i + 2])
    local asked, before = argv[i + 7] == '1' and mode ~= 'recipients', false
    for _, membership in ipairs(seen and {} or mine) do
      before = before or was_recipient(redis.call('HGET', recipients, membership[1]), membership[2], membership[3], membership[4])
    end
    if (asked or before) and not seen and not replaced then
      local key = p .. 'delivery:' .. delivery_id(e.id, sub)
      local made = enqueue(p, sub, e, asked and 'matched' or 'previously_matched', now, keep)
      if made == 0 and repeated then made = requeue(p, sub, delivery_id(e.id, sub), now, keep) end
      if made == 1 then redis.call('HSETNX', key, 'envelope', argv[i + 6]) end
      if not before then
        redis.call('HSET', recipients, sub, upto .. '|' .. entry)
        redis.call('PERSIST', recipients)
      end
      enqueued = enqueued + made
    end
  end
  redis.call('HINCRBY', backfill, 'enqueued', enqueued)
  redis.call('HINCRBY', backfill, 'examined', argv[9])
  redis.call('HSET', backfill, 'cursor', argv[4], 'end_entry', argv[5])
  if argv[6] == '1' then
    redis.call('HSET', backfill, 'state', 'done', 'ended', now)
    redis.call('PEXPIRE', backfill, keep)
    redis.call('ZREM', p .. 'backfills', argv[2])
  else
    redis.call('ZADD', p .. 'backfills', now, argv[2])
  end
  return enqueued
end

-- Starts a replay of everything since a time. Arguments: prefix, id, account, since (ms), the last possible entry before it, now.
-- Returns OK | MISSING | PAUSED | DISABLED | RUNNING.
local function replay_since(_, argv)
  local p, id = argv[1], argv[2]
  local key = p .. 'subscription:' .. id
  local found = owned_subscription(p, id, argv[3])
  if not found then return 'MISSING' end
  if found.status ~= 'active' then return found.status == 'paused' and 'PAUSED' or 'DISABLED' end
  local running = redis.call('HGET', key, 'backfill')
  if running and redis.call('ZSCORE', p .. 'backfills', running) then return 'RUNNING' end
  start_backfill(p, id, argv[5], argv[4], 0, 0, 'all', current_time(p, argv[6]))
  return 'OK'
end

register('claim_backfill', claim_backfill)
register('advance_backfill', advance_backfill)
register('replay_since', replay_since)
