-- Subscriptions and their memberships. Builds on queue.lua and usage.lua.
-- Subscriptions with equal criteria share a digest. A subscription is a member of the digest of its criteria, from one sequence number
-- to another: `membership_seq` counts every join and every leave, and each fan-out notes its value. `memberships:` holds the members
-- of a digest as "subscription|entry", scored by the sequence number of the join; a member receives the events after that stream entry.
-- A former member stays there as "subscription|entry|left", because it still receives later versions of what it was sent as a member;
-- `past_memberships:` holds these a second time, scored by the sequence number of the leave. The field `past_memberships` of a
-- subscription lists them as "digest|joined|entry|left;...". A subscription that was sent something by a backfill is also a member of a
-- digest of its own, which is its id.

-- Past memberships of a subscription. With as many, a pause no longer adds one.
local MAX_PAST_MEMBERSHIPS = 100
local MAX_SEQ = '9007199254740991'

-- Publishes to the matchers that a filter was added or removed. They read its definition from `filters`: thousands of changes are
-- kept, and with definitions they would take a multiple of the memory of all filters.
local function publish_filter_change(p, op, digest)
  local count = redis.call('INCR', p .. 'filters:changed')
  redis.call('XADD', p .. 'filters:changes', 'MAXLEN', '~', 10000, '*', 'count', count, 'op', op, 'digest', digest)
end

-- Removes the filter of a digest that has no current members.
local function remove_unused_filter(p, digest)
  if redis.call('ZCARD', p .. 'memberships:' .. digest) > redis.call('ZCARD', p .. 'past_memberships:' .. digest) then return end
  if redis.call('HDEL', p .. 'filters', digest) == 1 then publish_filter_change(p, 'remove', digest) end
end

-- Adds the filter of a subscription to those that articles are matched against.
local function add_filter(p, sub, digest)
  if redis.call('HEXISTS', p .. 'filters', digest) == 1 then return end
  local filter, events, entitlement = unpack(redis.call('HMGET', p .. 'subscription:' .. sub, 'filter', 'events', 'entitlement'))
  local wanted = {}
  for event in string.gmatch(events, '[^,]+') do wanted[#wanted + 1] = cjson.encode(event) end
  local definition = '{"filter":' .. filter .. ',"events":[' .. table.concat(wanted, ',') .. ']'
  if entitlement and entitlement ~= '' then definition = definition .. ',"entitlement":' .. entitlement end
  redis.call('HSET', p .. 'filters', digest, definition .. '}')
  publish_filter_change(p, 'add', digest)
end

local function join(p, sub, digest, after)
  local seq = redis.call('INCR', p .. 'membership_seq')
  redis.call('HSET', p .. 'subscription:' .. sub, 'digest', digest, 'after_entry', after, 'joined_seq', seq, 'attached', '1')
  redis.call('ZADD', p .. 'memberships:' .. digest, seq, sub .. '|' .. after)
  add_filter(p, sub, digest)
  return seq
end

local function leave(p, sub)
  local key = p .. 'subscription:' .. sub
  local digest, after, attached, seq, past = unpack(redis.call('HMGET', key, 'digest', 'after_entry', 'attached', 'joined_seq',
    'past_memberships'))
  if attached ~= '1' then return end
  local left = redis.call('INCR', p .. 'membership_seq')
  local member = sub .. '|' .. after
  redis.call('ZREM', p .. 'memberships:' .. digest, member)
  redis.call('ZADD', p .. 'memberships:' .. digest, seq, member .. '|' .. left)
  redis.call('ZADD', p .. 'past_memberships:' .. digest, left, member .. '|' .. left)
  local membership = table.concat({digest, seq, after, left}, '|')
  redis.call('HSET', key, 'attached', '0', 'past_memberships', (past or '') .. membership .. ';')
  remove_unused_filter(p, digest)
  return left
end

local MEMBERSHIP = '([^|;]+)|(%d+)|([^|;]+)|(%d+);'

local function remove_past_membership(p, sub, digest, after, left)
  local member = sub .. '|' .. after .. '|' .. left
  redis.call('ZREM', p .. 'memberships:' .. digest, member)
  redis.call('ZREM', p .. 'past_memberships:' .. digest, member)
end

-- Makes a former member a member again. With too many past memberships the last one is continued as if it had never ended; the
-- subscription may then receive later versions of articles from the time in between.
local function rejoin(p, sub, digest)
  local key = p .. 'subscription:' .. sub
  local after, past, attached = unpack(redis.call('HMGET', key, 'after_entry', 'past_memberships', 'attached'))
  if attached == '1' then return end
  local _, count = string.gsub(past or '', ';', '')
  local earlier, last, seq, since, left = string.match(past or '', '^(.-)' .. MEMBERSHIP .. '$')
  if count < MAX_PAST_MEMBERSHIPS or last ~= digest then return join(p, sub, digest, after) end
  remove_past_membership(p, sub, digest, since, left)
  redis.call('HSET', key, 'joined_seq', seq, 'after_entry', since, 'attached', '1', 'past_memberships', earlier)
  redis.call('ZADD', p .. 'memberships:' .. digest, seq, sub .. '|' .. since)
  add_filter(p, sub, digest)
end

-- Starts a backfill (backfill.lua): the events after a stream entry are matched for one subscription alone. `mode` is 'missed' (events
-- that were fanned out between the sequence numbers `first` and `last`, when it was no member), 'all' (every event, sent again where it
-- was sent), or 'recipients' (only events about articles that it was sent). `backfills` holds those that are not done, scored by the
-- time at which the next step is due.
local function start_backfill(p, sub, from, since, first, last, mode, now)
  local id = string.format('%s.%.0f', sub, redis.call('HINCRBY', p .. 'subscription:' .. sub, 'backfill_count', 1))
  redis.call('HSET', p .. 'backfill:' .. id, 'subscription', sub, 'since', since, 'cursor', from, 'first_seq', first, 'last_seq', last,
    'mode', mode, 'created', now, 'state', 'waiting', 'examined', 0, 'enqueued', 0)
  redis.call('ZADD', p .. 'backfills', now, id)
  redis.call('HSET', p .. 'subscription:' .. sub, 'backfill', id)
  redis.call('ZADD', p .. 'memberships:' .. sub, 1, sub .. '|0-0|' .. MAX_SEQ)
end

-- Raises the revision of a record, from which its ETag is made.
local function bump_revision(key)
  redis.call('HSETNX', key, 'revision', 1)
  redis.call('HINCRBY', key, 'revision', 1)
end

-- Whether a member from `joined` to `left` was sent an article, by the field of its digest in `article_recipients:`.
local function was_recipient(recipients, joined, after, left)
  for seq, entry in string.gmatch(recipients or '', '(%d+)|([^|]+)') do
    seq = tonumber(seq)
    if joined <= seq and (not left or seq < left) and entry_before(after, entry) then return true end
  end
  return false
end

-- Returns status, reason and revision of a subscription; nil where the account does not own it.
local function owned_subscription(p, id, account)
  local found = redis.call('HMGET', p .. 'subscription:' .. id, 'account', 'status', 'revision', 'status_reason')
  if found[1] ~= account then return nil end
  return {status = found[2], revision = found[3] or '1', reason = found[4] or ''}
end

-- Whether an account is disabled: none of its subscriptions may become active.
local function account_suspended(p, account)
  return redis.call('SISMEMBER', p .. 'suspended', account) == 1
end

-- Creates a subscription. Arguments: id; account; digest; newest_entry of the stream; limits (subscriptions, bytes, urls_per_host; an
-- absent one does not apply); created (ms); fields of the subscription, among them all that count towards the limits; where a backfill
-- starts: backfill_after, the entry before, and backfill_since, its time (ms).
-- Returns OK; SUBSCRIPTIONS, BYTES or URLS for the limit that the account would exceed; or SUSPENDED for a disabled account.
local function subscribe(_, args)
  local p, id, account, limits = args.prefix, args.id, args.account, args.limits
  local all = p .. 'subscriptions:' .. account
  if account_suspended(p, account) then return 'SUSPENDED' end
  if limits.subscriptions and redis.call('ZCARD', all) >= limits.subscriptions then return 'SUBSCRIPTIONS' end
  local usage, taken = usage_of(p, account), footprint(args.fields)
  local exceeded = limit_exceeded(usage, nil, taken, limits)
  if exceeded then return exceeded end
  redis.call('HSET', p .. 'subscription:' .. id, 'id', id, 'account', account, 'revision', 1, unpack(flat(args.fields)))
  redis.call('ZADD', all, args.created, id)
  count_usage(usage, taken, 1)
  -- Later fan-outs include it, from the requested start on. Events that were fanned out before are left to the backfill.
  local seq = join(p, id, args.digest, args.backfill_after or args.newest_entry)
  if args.backfill_after then
    start_backfill(p, id, args.backfill_after, args.backfill_since, 0, seq, 'missed', args.created)
  end
  return 'OK'
end

-- Updates a subscription. Arguments: id; account; revision, the expected one; digest; limits (changes, the number of times that the
-- digest may change, bytes, urls_per_host; an absent one does not apply); fields of the subscription, as in `subscribe`.
-- Returns OK | MISSING | STALE | TOO_MANY_CHANGES | BYTES | URLS.
local function update(_, args)
  local p, id, digest, limits = args.prefix, args.id, args.digest, args.limits
  local key = p .. 'subscription:' .. id
  local found = owned_subscription(p, id, args.account)
  if not found then return 'MISSING' end
  if found.revision ~= args.revision then return 'STALE' end
  local before, attached, past = unpack(redis.call('HMGET', key, 'digest', 'attached', 'past_memberships'))
  if before ~= digest then
    local _, changes = string.gsub(past or '', ';', '')
    if limits.changes and changes >= limits.changes then return 'TOO_MANY_CHANGES' end
  end
  local usage, taken, wanted = usage_of(p, args.account), stored_footprint(p, id), footprint(args.fields)
  local exceeded = limit_exceeded(usage, taken, wanted, limits)
  if exceeded then return exceeded end
  count_usage(usage, wanted, 1)
  count_usage(usage, taken, -1)
  redis.call('HSET', key, unpack(flat(args.fields)))
  bump_revision(key)
  if attached ~= '1' then
    redis.call('HSET', key, 'digest', digest)
  elseif before ~= digest then
    leave(p, id)
    join(p, id, digest, redis.call('HGET', key, 'after_entry'))
  end
  return 'OK'
end

-- Makes the held deliveries of a subscription due.
local function release_held(p, id, now)
  if redis.call('EXISTS', p .. 'paused:' .. id) == 0 then return end
  redis.call('ZUNIONSTORE', p .. 'due:' .. id, 2, p .. 'due:' .. id, p .. 'paused:' .. id, 'AGGREGATE', 'MIN')
  redis.call('DEL', p .. 'paused:' .. id)
  redis.call('ZADD', p .. 'endpoints', 'LT', now, id)
end

-- Applies a change of status that was decided from the record of a subscription; nothing happens where that is out of date. Arguments:
-- id; account; revision of the record, and whether the account is suspended, as the decision assumes; set and unset, its fields;
-- membership: 'leave' (waiting deliveries are held), 'rejoin' (held ones become due) or ''; for 'rejoin' also digest, and the backfill
-- of the time in between (after, since, first_seq, mode), which may be empty.
-- Returns OK | MISSING | STALE | SUSPENSION_CHANGED.
local function change_status(_, args)
  local p, id, now = args.prefix, args.id, current_time(args)
  local key = p .. 'subscription:' .. id
  local found = owned_subscription(p, id, args.account)
  if not found then return 'MISSING' end
  if found.revision ~= args.revision then return 'STALE' end
  if account_suspended(p, args.account) ~= args.suspended then return 'SUSPENSION_CHANGED' end
  if args.membership == 'leave' then
    redis.call('HSET', key, 'left_seq', leave(p, id), 'paused_at', now)
    if redis.call('EXISTS', p .. 'due:' .. id) == 1 then redis.call('RENAME', p .. 'due:' .. id, p .. 'paused:' .. id) end
  elseif args.membership == 'rejoin' then
    local back = redis.call('INCR', p .. 'membership_seq')
    rejoin(p, id, args.digest)
    release_held(p, id, now)
    redis.call('SREM', p .. 'disabled', id)
    local missed = args.backfill
    if missed.mode then start_backfill(p, id, missed.after, missed.since, missed.first_seq, back, missed.mode, now) end
  end
  if next(args.set) then redis.call('HSET', key, unpack(flat(args.set))) end
  if #args.unset > 0 then redis.call('HDEL', key, unpack(args.unset)) end
  bump_revision(key)
  return 'OK'
end

-- Deletes a subscription. Arguments: id; account; keep; reason, an operator's ('' where its owner deletes it); keep_reason, how long it
-- can be read (ms). Returns 0 where the account does not own the subscription.
local function unsubscribe(_, args)
  local p, id, account = args.prefix, args.id, args.account
  local key = p .. 'subscription:' .. id
  if not owned_subscription(p, id, account) then return 0 end
  leave(p, id)
  for digest, _, after, left in string.gmatch(redis.call('HGET', key, 'past_memberships') or '', MEMBERSHIP) do
    remove_past_membership(p, id, digest, after, left)
  end
  cancel_all(p, id, current_time(args), args.keep)
  local usage = usage_of(p, account)
  count_usage(usage, stored_footprint(p, id), -1)
  redis.call('ZREM', p .. 'subscriptions:' .. account, id)
  if redis.call('EXISTS', p .. 'subscriptions:' .. account) == 0 then redis.call('DEL', usage) end
  redis.call('DEL', key, p .. 'deliveries:' .. id, p .. 'response_log:' .. id, p .. 'memberships:' .. id, p .. 'endings:' .. id,
    p .. 'history:' .. id)
  redis.call('ZREM', p .. 'histories', id)
  if args.reason ~= '' then
    redis.call('HSET', p .. 'ended:' .. id, 'account', account, 'reason', args.reason)
    redis.call('PEXPIRE', p .. 'ended:' .. id, args.keep_reason)
  end
  return 1
end

-- Rebuilds the memberships and lists of a subscription from its record, after a restore. Arguments: id.
local function rebuild_lookups(_, args)
  local p, id = args.prefix, args.id
  local account, created, digest, after, seq, attached, past, backfill_count = unpack(redis.call('HMGET', p .. 'subscription:' .. id,
    'account', 'created', 'digest', 'after_entry', 'joined_seq', 'attached', 'past_memberships', 'backfill_count'))
  redis.call('ZADD', p .. 'subscriptions:' .. account, created, id)
  redis.call('DEL', p .. 'usage:' .. account)
  for past_digest, joined, entry, left in string.gmatch(past or '', MEMBERSHIP) do
    local member = table.concat({id, entry, left}, '|')
    redis.call('ZADD', p .. 'memberships:' .. past_digest, joined, member)
    redis.call('ZADD', p .. 'past_memberships:' .. past_digest, left, member)
  end
  if backfill_count then redis.call('ZADD', p .. 'memberships:' .. id, 1, id .. '|0-0|' .. MAX_SEQ) end
  if attached == '1' then
    redis.call('ZADD', p .. 'memberships:' .. digest, seq, id .. '|' .. after)
    add_filter(p, id, digest)
  end
  return 1
end

register('subscribe', subscribe)
register('update', update)
register('change_status', change_status)
register('unsubscribe', unsubscribe)
register('rebuild_lookups', rebuild_lookups)
