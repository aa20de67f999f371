-- Reads the deliveries of a subscription by state, and replays those that are dead. Builds on queue.lua and fan_out.lua.
-- A position in a list, newest first, is {time, id}; an empty one is its beginning.

-- Returns the next `examine` deliveries of a list after a position, as ids and times in turn, and the position after them; an empty one at
-- the end of the list. A delivery that was removed meanwhile is found again by its time.
local function deliveries_after(key, after, examine)
  local first = 0
  if #after > 0 then
    local rank = redis.call('ZREVRANK', key, after[2])
    first = rank and rank + 1 or redis.call('ZCOUNT', key, '(' .. after[1], '+inf')
  end
  local page = redis.call('ZRANGE', key, first, first + examine - 1, 'REV', 'WITHSCORES')
  if #page < 2 * examine then return page, {} end
  return page, {page[#page], page[#page - 1]}
end

-- Lists deliveries, newest first. Arguments: subscription; after; examine, how many are looked at; limit, how many are returned at most;
-- state and article ('' for any); since and until, the times of their creation (ms). Returns {ids, the position after the last one}; an
-- empty position means that there are no more.
local function list_deliveries(_, args)
  local p, ids = args.prefix, {}
  local page, after = deliveries_after(p .. 'deliveries:' .. args.subscription, args.after, args.examine)
  for i = 1, #page, 2 do
    local id, created = page[i], tonumber(page[i + 1])
    if created < args.since then return {ids, {}} end
    if created < args['until'] then
      local state, article = unpack(redis.call('HMGET', p .. 'delivery:' .. id, 'state', 'article'))
      if state and (args.state == '' or state == args.state) and (args.article == '' or article == args.article) then
        ids[#ids + 1] = id
        if #ids == args.limit then return {ids, {page[i + 1], id}} end
      end
    end
  end
  return {ids, after}
end

-- Whether a delivery of a subscription failed for good by a time, and whether it can be sent again. Returns 'REPLAYABLE', 'SUPERSEDED' or
-- nil.
local function dead_by(p, id, sub, upto)
  local state, owner, ended = unpack(redis.call('HMGET', p .. 'delivery:' .. id, 'state', 'subscription', 'ended'))
  if state ~= 'dead' or owner ~= sub or tonumber(ended) > upto then return nil end
  local article, version, kind = unpack(redis.call('HMGET', p .. 'delivery:' .. id, 'article', 'version', 'type'))
  return is_superseded(p, article, version, kind) and 'SUPERSEDED' or 'REPLAYABLE'
end

-- Returns the list in which to look for the dead deliveries of a subscription: 'own', its deliveries; or 'dead', the dead ones of all
-- subscriptions, where these are fewer. Arguments: subscription.
local function list_for_dead(_, args)
  local p = args.prefix
  local own, dead = redis.call('ZCARD', p .. 'deliveries:' .. args.subscription), redis.call('ZCARD', p .. 'deliveries:dead')
  return dead < own and 'dead' or 'own'
end

local function dead_after(args)
  local list = args.list == 'dead' and 'dead' or args.subscription
  return deliveries_after(args.prefix .. 'deliveries:' .. list, args.after, args.examine)
end

-- Where few deliveries of a subscription are dead, all of them are found at once by the intersection of two lists: the server compares
-- some thousand ids in a millisecond, and reads the records of the dead ones alone.
local MAX_COMPARED, MAX_FOUND_AT_ONCE = 20000, 500

-- Returns the dead deliveries of a subscription, or nil where they are many.
local function few_dead(p, sub)
  local own, dead = p .. 'deliveries:' .. sub, p .. 'deliveries:dead'
  if math.min(redis.call('ZCARD', own), redis.call('ZCARD', dead)) > MAX_COMPARED then return nil end
  if redis.call('ZINTERCARD', 2, own, dead, 'LIMIT', MAX_FOUND_AT_ONCE + 1) > MAX_FOUND_AT_ONCE then return nil end
  return redis.call('ZINTER', 2, own, dead)
end

-- Counts dead deliveries, a part of them unless they are few.
-- Arguments: subscription; list, as above; after; examine; upto, the latest time of their end (ms).
-- Returns {replayable, superseded, the position after those that were looked at}.
local function count_dead(_, args)
  local counts = {REPLAYABLE = 0, SUPERSEDED = 0}
  local function count(id)
    local found = dead_by(args.prefix, id, args.subscription, args.upto)
    if found then counts[found] = counts[found] + 1 end
  end
  local few = #args.after == 0 and few_dead(args.prefix, args.subscription)
  if few then
    for _, id in ipairs(few) do count(id) end
    return {counts.REPLAYABLE, counts.SUPERSEDED, {}}
  end
  local page, after = dead_after(args)
  for i = 1, #page, 2 do count(page[i]) end
  return {counts.REPLAYABLE, counts.SUPERSEDED, after}
end

-- Deliveries of one replay that become due in each second: new articles wait for no more.
local REPLAYED_PER_SECOND = 100

-- Sends dead deliveries again, with the same ids. Arguments as `count_dead`; limit, how many are sent again at most; replayed, how many
-- earlier calls of the same replay did; keep. Returns {replayed so far, the position after the last one}; or UNSUBSCRIBED.
local function replay_dead(_, args)
  local p, sub, now = args.prefix, args.subscription, current_time(args)
  local status = redis.call('HGET', p .. 'subscription:' .. sub, 'status')
  if status ~= 'active' and status ~= 'paused' then return 'UNSUBSCRIBED' end
  local replayed, most = args.replayed, args.replayed + args.limit
  local page, after = dead_after(args)
  for i = 1, #page, 2 do
    if dead_by(p, page[i], sub, args.upto) == 'REPLAYABLE' then
      requeue(p, sub, page[i], now + math.floor(replayed / REPLAYED_PER_SECOND) * 1000, args.keep)
      replayed = replayed + 1
      if replayed == most then return {replayed, {page[i + 1], page[i]}} end
    end
  end
  return {replayed, after}
end

-- The latest deliveries of an account: of each subscription, up to `subscriptions`, the newest `limit` and those that ended last; of all
-- these the latest `rows`. Arguments: account; subscriptions; limit; rows.
-- Returns for each {id, subscription, state, attempt, type, article, created, version}.
local function recent_deliveries(_, args)
  local p, latest, found = args.prefix, {}, {}
  for _, sub in ipairs(redis.call('ZRANGE', p .. 'subscriptions:' .. args.account, 0, args.subscriptions - 1, 'REV')) do
    local times, newest = {}, redis.call('ZRANGE', p .. 'deliveries:' .. sub, 0, args.limit - 1, 'REV', 'WITHSCORES')
    for i = 1, #newest, 2 do times[newest[i]] = tonumber(newest[i + 1]) end
    for _, ending in ipairs(redis.call('LRANGE', p .. 'endings:' .. sub, -args.limit, -1)) do
      local ended, id = string.match(ending, '^(%d+)|%d+|(.*)$')
      times[id] = tonumber(ended)
    end
    for id, time in pairs(times) do latest[#latest + 1] = {time, id, sub} end
  end
  table.sort(latest, function(a, b) return a[1] > b[1] or (a[1] == b[1] and a[2] > b[2]) end)
  for at = 1, math.min(args.rows, #latest) do
    local _, id, sub = unpack(latest[at])
    local row = redis.call('HMGET', p .. 'delivery:' .. id, 'state', 'attempt', 'type', 'article', 'created', 'version')
    if row[1] then found[#found + 1] = {id, sub, unpack(row)} end
  end
  return found
end

register('list_deliveries', list_deliveries, {'no-writes'})
register('list_for_dead', list_for_dead, {'no-writes'})
register('count_dead', count_dead, {'no-writes'})
register('replay_dead', replay_dead)
register('recent_deliveries', recent_deliveries, {'no-writes'})
