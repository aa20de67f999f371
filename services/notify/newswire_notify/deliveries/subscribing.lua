-- Who subscribes to what. Builds on queue.lua and usage.lua.
-- A subscription is a member of the digest of what it asks for, from one moment to another. Moments are counted by
-- `subscriptions:seq`: each joining and each leaving is one, and a fan-out notes the last one before it. `subscribers:` holds the
-- members of a digest as "subscription|entry", scored by when they joined; they are told of what follows that entry of the stream. Who
-- left stays there as "subscription|entry|moment", for it is told of later versions of what it was sent till then; `formers:` holds
-- these once more, scored by when they left. The record's field `formers` names those places as "digest|joined|entry|left;…". Who was
-- sent something that no fan-out told it of has a digest of its own besides, which is its id.

-- How many places a subscription may have left before a pause makes it no new one.
local PLACES = 100
local FOR_EVER = '9007199254740991'

-- Tells the matchers that a digest came or went. What it stands for is read in `filters`: thousands of changes are kept, which would
-- take a multiple of what all filters may.
local function change(p, op, digest)
  local count = redis.call('INCR', p .. 'subscriptions:changed')
  redis.call('XADD', p .. 'subscriptions:changes', 'MAXLEN', '~', 10000, '*', 'count', count, 'op', op, 'digest', digest)
end

-- Takes what a digest stands for from those that articles are held against, once nobody asks for it any more.
local function forget_unless_wanted(p, digest)
  if redis.call('ZCARD', p .. 'subscribers:' .. digest) > redis.call('ZCARD', p .. 'formers:' .. digest) then return end
  if redis.call('HDEL', p .. 'filters', digest) == 1 then change(p, 'remove', digest) end
end

-- Lets articles be held against what a subscription asks for.
local function file(p, sub, digest)
  if redis.call('HEXISTS', p .. 'filters', digest) == 1 then return end
  local filter, events, entitlement = unpack(redis.call('HMGET', p .. 'subscription:' .. sub, 'filter', 'events', 'entitlement'))
  local wanted = {}
  for event in string.gmatch(events, '[^,]+') do wanted[#wanted + 1] = cjson.encode(event) end
  local definition = '{"filter":' .. filter .. ',"events":[' .. table.concat(wanted, ',') .. ']'
  if entitlement and entitlement ~= '' then definition = definition .. ',"entitlement":' .. entitlement end
  redis.call('HSET', p .. 'filters', digest, definition .. '}')
  change(p, 'add', digest)
end

local function join(p, sub, digest, after)
  local seq = redis.call('INCR', p .. 'subscriptions:seq')
  redis.call('HSET', p .. 'subscription:' .. sub, 'digest', digest, 'after', after, 'seq', seq, 'attached', '1')
  redis.call('ZADD', p .. 'subscribers:' .. digest, seq, sub .. '|' .. after)
  file(p, sub, digest)
  return seq
end

local function leave(p, sub)
  local key = p .. 'subscription:' .. sub
  local digest, after, attached, seq, formers = unpack(redis.call('HMGET', key, 'digest', 'after', 'attached', 'seq', 'formers'))
  if attached ~= '1' then return end
  local left = redis.call('INCR', p .. 'subscriptions:seq')
  local member = sub .. '|' .. after
  redis.call('ZREM', p .. 'subscribers:' .. digest, member)
  redis.call('ZADD', p .. 'subscribers:' .. digest, seq, member .. '|' .. left)
  redis.call('ZADD', p .. 'formers:' .. digest, left, member .. '|' .. left)
  local place = table.concat({digest, seq, after, left}, '|')
  redis.call('HSET', key, 'attached', '0', 'formers', (formers or '') .. place .. ';')
  forget_unless_wanted(p, digest)
  return left
end

local PLACE = '([^|;]+)|(%d+)|([^|;]+)|(%d+);'

local function give_up_place(p, sub, digest, after, left)
  local member = sub .. '|' .. after .. '|' .. left
  redis.call('ZREM', p .. 'subscribers:' .. digest, member)
  redis.call('ZREM', p .. 'formers:' .. digest, member)
end

-- Joins again who had left. Who did so all too often is taken for one that was never away: it may be told of later versions of what
-- came meanwhile.
local function join_again(p, sub, digest)
  local key = p .. 'subscription:' .. sub
  local after, formers, attached = unpack(redis.call('HMGET', key, 'after', 'formers', 'attached'))
  if attached == '1' then return end
  local _, count = string.gsub(formers or '', ';', '')
  local earlier, last, seq, since, left = string.match(formers or '', '^(.-)' .. PLACE .. '$')
  if count < PLACES or last ~= digest then return join(p, sub, digest, after) end
  give_up_place(p, sub, digest, since, left)
  redis.call('HSET', key, 'seq', seq, 'after', since, 'attached', '1', 'formers', earlier)
  redis.call('ZADD', p .. 'subscribers:' .. digest, seq, sub .. '|' .. since)
  file(p, sub, digest)
end

-- Asks for the events after an entry of the stream to be gone through for one subscription (backlog.lua): those that fan-outs from
-- one moment up to another did not ask it about, or all ("again"). `backlogs` holds what is not done yet, scored by when somebody is
-- to go on with it.
local function look_back(p, sub, from, since, first, last, again, now)
  local id = string.format('%s.%.0f', sub, redis.call('HINCRBY', p .. 'subscription:' .. sub, 'backlogs', 1))
  redis.call('HSET', p .. 'backlog:' .. id, 'subscription', sub, 'since', since, 'at', from, 'first', first, 'last', last,
    'again', again, 'created', now, 'state', 'waiting', 'looked_at', 0, 'enqueued', 0)
  redis.call('ZADD', p .. 'backlogs', now, id)
  redis.call('HSET', p .. 'subscription:' .. sub, 'backlog', id)
  redis.call('ZADD', p .. 'subscribers:' .. sub, 1, sub .. '|0-0|' .. FOR_EVER)
end

-- Marks a record as another one than before.
local function touch(key)
  redis.call('HSETNX', key, 'revision', 1)
  redis.call('HINCRBY', key, 'revision', 1)
end

-- Whether somebody who was a member from `joined` to `left` was told of an article, by what is kept of one digest in its `told:`.
local function was_told(told, joined, after, left)
  for moment, entry in string.gmatch(told or '', '(%d+)|([^|]+)') do
    moment = tonumber(moment)
    if joined <= moment and (not left or moment < left) and less(after, entry) then return true end
  end
  return false
end

-- The subscription where the account has it, else nil: its status, why it has that, and its revision.
local function own(p, id, account)
  local found = redis.call('HMGET', p .. 'subscription:' .. id, 'account', 'status', 'revision', 'status_reason')
  if found[1] ~= account then return nil end
  return {status = found[2], revision = found[3] or '1', reason = found[4] or ''}
end

-- Whether the account of a subscription is disabled: nothing of it may become active.
local function suspended(p, account)
  return redis.call('SISMEMBER', p .. 'suspended', account) == 1
end

-- prefix, id, account, digest, after, limits (JSON: subscriptions, bytes, urls_per_host; none for one that is absent), created (ms),
-- where to look back from or '', the time of that (ms), then the fields of the subscription. Answers OK | SUBSCRIPTIONS | BYTES | URLS,
-- the limit that the account would exceed, or SUSPENDED where it is disabled.
local function subscribe(_, argv)
  local p, id, account = argv[1], argv[2], argv[3]
  local all = p .. 'subscriptions:' .. account
  if suspended(p, account) then return 'SUSPENDED' end
  local limits = cjson.decode(argv[6])
  if limits.subscriptions and redis.call('ZCARD', all) >= limits.subscriptions then return 'SUBSCRIPTIONS' end
  local usage, taken = usage_of(p, account), sent_footprint(argv, 10)
  local exceeded = limit_exceeded(usage, nil, taken, limits)
  if exceeded then return exceeded end
  redis.call('HSET', p .. 'subscription:' .. id, 'id', id, 'account', account, 'revision', 1, unpack(argv, 10))
  redis.call('ZADD', all, argv[7], id)
  count_usage(usage, taken, 1)
  -- What is fanned out from now on reaches it as any other, from the start that was asked for; what was before is looked back for.
  local seq = join(p, id, argv[4], argv[8] ~= '' and argv[8] or argv[5])
  if argv[8] ~= '' then look_back(p, id, argv[8], argv[9], 0, seq, '0', tonumber(argv[7])) end
  return 'OK'
end

-- prefix, id, account, revision that is to be changed, digest, limits (JSON: changes, how often the digest may change, bytes,
-- urls_per_host; none for one that is absent), then fields of the subscription, all that are counted among them.
-- Answers OK | MISSING | STALE | TOO_OFTEN | BYTES | URLS.
local function alter(_, argv)
  local p, id, digest = argv[1], argv[2], argv[5]
  local key = p .. 'subscription:' .. id
  local found = own(p, id, argv[3])
  if not found then return 'MISSING' end
  if found.revision ~= argv[4] then return 'STALE' end
  local before, attached, formers = unpack(redis.call('HMGET', key, 'digest', 'attached', 'formers'))
  local limits = cjson.decode(argv[6])
  if before ~= digest then
    local _, changes = string.gsub(formers or '', ';', '')
    if limits.changes and changes >= limits.changes then return 'TOO_OFTEN' end
  end
  local usage, taken, wanted = usage_of(p, argv[3]), stored_footprint(p, id), sent_footprint(argv, 7)
  local exceeded = limit_exceeded(usage, taken, wanted, limits)
  if exceeded then return exceeded end
  count_usage(usage, wanted, 1)
  count_usage(usage, taken, -1)
  redis.call('HSET', key, unpack(argv, 7))
  touch(key)
  if attached ~= '1' then
    redis.call('HSET', key, 'digest', digest)
  elseif before ~= digest then
    leave(p, id)
    join(p, id, digest, redis.call('HGET', key, 'after'))
  end
  return 'OK'
end

-- prefix, id, account, the entry up to which all is fanned out, now, who pauses it ('' for its owner, 'operator', 'account_disabled'),
-- a note for the owner ('' for none). While it is paused, what it matches is not enqueued, but later versions and retractions of what
-- it was sent are, to be held. Who paused it stands as `status_reason`, and only the same may resume it. An operator's pause takes the
-- place of another's, which comes back with `resume`; that of a disabled account only pauses what is active.
-- Answers OK | MISSING | DISABLED.
local function pause(_, argv)
  local p, id, by, note = argv[1], argv[2], argv[6] or '', argv[7] or ''
  local key = p .. 'subscription:' .. id
  local found = own(p, id, argv[3])
  if not found then return 'MISSING' end
  if found.status == 'disabled' then return 'DISABLED' end
  if by == 'operator' and found.reason ~= 'operator' then
    redis.call('HSET', key, 'paused_before', found.status == 'paused' and 'paused' or 'active', 'reason_before', found.reason)
  end
  if by == 'operator' or (by ~= '' and found.status == 'active') then
    redis.call('HSET', key, 'status_reason', by, 'status_note', note)
    touch(key)
  end
  if found.status == 'paused' then return 'OK' end
  local left = leave(p, id)
  redis.call('HSET', key, 'status', 'paused', 'left', left, 'left_at', argv[4], 'paused', moment(p, argv[5]))
  touch(key)
  if redis.call('EXISTS', p .. 'due:' .. id) == 1 then redis.call('RENAME', p .. 'due:' .. id, p .. 'held:' .. id) end
  return 'OK'
end

-- Lets what was held of a subscription go out.
local function release_held(p, id, now)
  if redis.call('EXISTS', p .. 'held:' .. id) == 0 then return end
  redis.call('ZUNIONSTORE', p .. 'due:' .. id, 2, p .. 'due:' .. id, p .. 'held:' .. id, 'AGGREGATE', 'MIN')
  redis.call('DEL', p .. 'held:' .. id)
  redis.call('ZADD', p .. 'endpoints', 'LT', now, id)
end

-- prefix, id, account, revision, digest, now, who resumes it (as in `pause`). What was held goes out, and what came meanwhile is
-- looked for. Answers OK | MISSING | STALE | DISABLED | HELD, where another paused it.
local function resume(_, argv)
  local p, id, by = argv[1], argv[2], argv[7] or ''
  local key = p .. 'subscription:' .. id
  local found = own(p, id, argv[3])
  if not found then return 'MISSING' end
  if found.status == 'active' then return 'OK' end
  if found.status ~= 'paused' then return 'DISABLED' end
  if found.reason ~= by then return 'HELD' end
  if found.revision ~= argv[4] then return 'STALE' end
  if by == 'operator' then
    local before, reason = unpack(redis.call('HMGET', key, 'paused_before', 'reason_before'))
    redis.call('HDEL', key, 'paused_before', 'reason_before', 'status_note')
    if before == 'paused' and reason ~= 'account_disabled' then
      if (reason or '') == '' then redis.call('HDEL', key, 'status_reason') else redis.call('HSET', key, 'status_reason', reason) end
      touch(key)
      return 'OK'
    end
  end
  if by ~= 'account_disabled' and suspended(p, argv[3]) then
    redis.call('HSET', key, 'status_reason', 'account_disabled')
    touch(key)
    return 'OK'
  end
  local now = moment(p, argv[6])
  local left, from, since, after = unpack(redis.call('HMGET', key, 'left', 'left_at', 'paused', 'after'))
  local back = redis.call('INCR', p .. 'subscriptions:seq')
  join_again(p, id, argv[5])
  redis.call('HSET', key, 'status', 'active')
  redis.call('HDEL', key, 'left', 'left_at', 'paused', 'status_reason', 'status_note')
  touch(key)
  release_held(p, id, now)
  look_back(p, id, less(from, after) and after or from, since, left, back, '0', now)
  return 'OK'
end

-- prefix, id, account, now, keep, why an operator ended it ('' where its owner did), how long that is kept to be told (ms).
-- Answers 0 where the account has no such subscription.
local function unsubscribe(_, argv)
  local p, id = argv[1], argv[2]
  local key = p .. 'subscription:' .. id
  if not own(p, id, argv[3]) then return 0 end
  leave(p, id)
  for digest, _, after, left in string.gmatch(redis.call('HGET', key, 'formers') or '', PLACE) do
    give_up_place(p, id, digest, after, left)
  end
  cancel_all(p, id, moment(p, argv[4]), argv[5])
  local usage = usage_of(p, argv[3])
  count_usage(usage, stored_footprint(p, id), -1)
  redis.call('ZREM', p .. 'subscriptions:' .. argv[3], id)
  if redis.call('EXISTS', p .. 'subscriptions:' .. argv[3]) == 0 then redis.call('DEL', usage) end
  redis.call('DEL', key, p .. 'deliveries:' .. id, p .. 'answered:' .. id, p .. 'subscribers:' .. id, p .. 'endings:' .. id,
    p .. 'history:' .. id)
  redis.call('ZREM', p .. 'histories', id)
  if (argv[6] or '') ~= '' then
    redis.call('HSET', p .. 'ended:' .. id, 'account', argv[3], 'reason', argv[6])
    redis.call('PEXPIRE', p .. 'ended:' .. id, argv[7])
  end
  return 1
end

-- prefix, id. Makes all that is looked up of a subscription from its record.
local function attach(_, argv)
  local p, id = argv[1], argv[2]
  local account, created, digest, after, seq, attached, formers, backlogs = unpack(redis.call('HMGET', p .. 'subscription:' .. id, 'account',
    'created', 'digest', 'after', 'seq', 'attached', 'formers', 'backlogs'))
  redis.call('ZADD', p .. 'subscriptions:' .. account, created, id)
  redis.call('DEL', p .. 'usage:' .. account)
  for former, joined, entry, left in string.gmatch(formers or '', PLACE) do
    local member = table.concat({id, entry, left}, '|')
    redis.call('ZADD', p .. 'subscribers:' .. former, joined, member)
    redis.call('ZADD', p .. 'formers:' .. former, left, member)
  end
  if backlogs then redis.call('ZADD', p .. 'subscribers:' .. id, 1, id .. '|0-0|' .. FOR_EVER) end
  if attached == '1' then
    redis.call('ZADD', p .. 'subscribers:' .. digest, seq, id .. '|' .. after)
    file(p, id, digest)
  end
  return 1
end

register('subscribe', subscribe)
register('alter', alter)
register('pause', pause)
register('resume', resume)
register('unsubscribe', unsubscribe)
register('attach', attach)
