-- Backfills: past events matched for one subscription alone, when it starts in the past, was paused, or asks for a replay. Builds on
-- fan_out.lua.

-- Waiting deliveries of an endpoint above which its backfill stands still, so that new events do not wait behind many old ones.
local MAX_WAITING = 100
-- How often a backfill of an inactive subscription is checked, in ms.
local INACTIVE_RECHECK_MS = 5000

-- Claims the backfill that has waited longest. Arguments: lease (ms). Returns {id, subscription, cursor, end entry, mode}, or false where
-- none can proceed now.
local function claim_backfill(_, args)
  local p, now = args.prefix, current_time(args)
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
      redis.call('ZADD', p .. 'backfills', now + args.lease, id)
      redis.call('HSET', p .. 'backfill:' .. id, 'state', 'running')
      return {id, sub, at, upto or '', again}
    end
  end
  return false
end

-- The current and past memberships of a subscription: {digest, joined, after, left or nil}.
local function memberships(p, sub)
  local digest, joined, after, attached, past = unpack(redis.call('HMGET', p .. 'subscription:' .. sub, 'digest', 'joined_seq',
    'after_entry', 'attached', 'past_memberships'))
  local found = {{sub, 0, '0-0'}}
  for past_digest, since, entry, left in string.gmatch(past or '', MEMBERSHIP) do
    found[#found + 1] = {past_digest, tonumber(since), entry, tonumber(left)}
  end
  if attached == '1' then found[#found + 1] = {digest, tonumber(joined), after} end
  return found
end

-- Advances a backfill: enqueues deliveries of one subscription and stores the progress, in one step. Arguments: id of the backfill;
-- cursor, the former one; reached, the new one; end_entry; done, whether that is reached; examined, the number of entries; keep; events,
-- each with its id, type, kind (published or retracted), article, version, entry, envelope, and whether the subscription `matches` it.
-- An event is delivered where the subscription matches it or was sent an earlier version, unless a later version supersedes it or a
-- fan-out covered the subscription.
-- Returns the number of deliveries, or -1 where another process has advanced the backfill.
local function advance_backfill(_, args)
  local p, backfill = args.prefix, args.prefix .. 'backfill:' .. args.id
  local sub, at, mode, first, last = unpack(redis.call('HMGET', backfill, 'subscription', 'cursor', 'mode', 'first_seq', 'last_seq'))
  if at ~= args.cursor then return -1 end
  local now, keep = current_time(args), args.keep
  if redis.call('HGET', p .. 'subscription:' .. sub, 'status') ~= 'active' then return 0 end
  local mine, enqueued = memberships(p, sub), 0
  local upto = redis.call('GET', p .. 'membership_seq')
  local repeated = mode == 'all'
  for _, e in ipairs(args.events) do
    local recipients = p .. 'article_recipients:' .. e.article
    local latest, latest_event, begun = unpack(redis.call('HMGET', recipients, 'rank', 'event', 'membership_seq'))
    latest = tonumber(latest)
    begun = tonumber(latest_event == e.id and begun or redis.call('HGET', p .. 'event_plan:' .. e.id, 'membership_seq'))
    local seen = not repeated and begun and (begun < tonumber(first) or begun >= tonumber(last))
    local replaced = latest and latest > rank_of(e.version, e.kind)
    local asked, before = e.matches and mode ~= 'recipients', false
    for _, membership in ipairs(seen and {} or mine) do
      before = before or was_recipient(redis.call('HGET', recipients, membership[1]), membership[2], membership[3], membership[4])
    end
    if (asked or before) and not seen and not replaced then
      local key = p .. 'delivery:' .. delivery_id(e.id, sub)
      local made = enqueue(p, sub, e, asked and 'matched' or 'previously_matched', now, keep)
      if made == 0 and repeated then made = requeue(p, sub, delivery_id(e.id, sub), now, keep) end
      if made == 1 then redis.call('HSETNX', key, 'envelope', e.envelope) end
      if not before then
        redis.call('HSET', recipients, sub, upto .. '|' .. e.entry)
        redis.call('PERSIST', recipients)
      end
      enqueued = enqueued + made
    end
  end
  redis.call('HINCRBY', backfill, 'enqueued', enqueued)
  redis.call('HINCRBY', backfill, 'examined', args.examined)
  redis.call('HSET', backfill, 'cursor', args.reached, 'end_entry', args.end_entry)
  if args.done then
    redis.call('HSET', backfill, 'state', 'done', 'ended', now)
    redis.call('PEXPIRE', backfill, keep)
    redis.call('ZREM', p .. 'backfills', args.id)
  else
    redis.call('ZADD', p .. 'backfills', now, args.id)
  end
  return enqueued
end

-- Starts a replay of everything since a time. Arguments: id; account; since (ms); after, the last possible entry before that time.
-- Returns OK | MISSING | PAUSED | DISABLED | RUNNING.
local function replay_since(_, args)
  local p, id = args.prefix, args.id
  local key = p .. 'subscription:' .. id
  local found = owned_subscription(p, id, args.account)
  if not found then return 'MISSING' end
  if found.status ~= 'active' then return found.status == 'paused' and 'PAUSED' or 'DISABLED' end
  local running = redis.call('HGET', key, 'backfill')
  if running and redis.call('ZSCORE', p .. 'backfills', running) then return 'RUNNING' end
  start_backfill(p, id, args.after, args.since, 0, 0, 'all', current_time(args))
  return 'OK'
end

register('claim_backfill', claim_backfill)
register('advance_backfill', advance_backfill)
register('replay_since', replay_since)
