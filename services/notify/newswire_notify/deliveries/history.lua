-- The history of a subscription: its ended deliveries, and their removal. Builds on queue.lua.
-- `endings:` lists the ended deliveries of a subscription in the order of their ends, as "ended|bytes|id". `history:` holds the sum of
-- these bytes and, after an early removal, the number of deliveries removed early (`removed`) and the end of the newest of them
-- (`removed_until`). `histories` holds each subscription, scored by the time of its next trim.

local function forget(p, sub, id)
  redis.call('DEL', p .. 'delivery:' .. id, p .. 'delivery:' .. id .. ':attempts')
  redis.call('ZREM', p .. 'deliveries:' .. sub, id)
end

-- Removes the oldest deliveries of one history: those that ended before `since`, and those beyond `most` bytes. A delivery that was
-- replayed has a later entry, or has not ended again. Returns the number removed early, and how many removals are left.
local function trim_history(p, sub, since, most, left)
  local list, key = p .. 'endings:' .. sub, p .. 'history:' .. sub
  local bytes = tonumber(redis.call('HGET', key, 'bytes') or 0)
  local early = 0
  while left > 0 do
    local head = redis.call('LINDEX', list, 0)
    if not head then break end
    local ended, size, id = string.match(head, '^(%d+)|(%d+)|(.*)$')
    local due = tonumber(ended) < since
    if not due and bytes <= most then break end
    redis.call('LPOP', list)
    bytes = redis.call('HINCRBY', key, 'bytes', -tonumber(size))
    if redis.call('HGET', p .. 'delivery:' .. id, 'ended') == ended then
      forget(p, sub, id)
      if not due then
        early = early + 1
        redis.call('HSET', key, 'removed_until', ended)
      end
    elseif redis.call('EXISTS', p .. 'delivery:' .. id) == 0 then
      redis.call('ZREM', p .. 'deliveries:' .. sub, id)
    end
    left = left - 1
  end
  if early > 0 then redis.call('HINCRBY', key, 'removed', early) end
  return early, left
end

-- Trims the histories that are due. Arguments: keep; limit, the bytes for one subscription; removals, their maximum in this call.
-- Returns {number removed early, '1' where more is to be done}.
local function trim_histories(_, args)
  local p, now, keep, left = args.prefix, current_time(args), args.keep, args.removals
  local early = 0
  for _, sub in ipairs(redis.call('ZRANGEBYSCORE', p .. 'histories', '-inf', now, 'LIMIT', 0, 100)) do
    local went
    went, left = trim_history(p, sub, now - keep, args.limit, left)
    early = early + went
    if left <= 0 then break end
    local oldest = redis.call('LINDEX', p .. 'endings:' .. sub, 0)
    if oldest then
      redis.call('ZADD', p .. 'histories', string.match(oldest, '^(%d+)') + keep + 1, sub)
    else
      redis.call('ZREM', p .. 'histories', sub)
      if redis.call('HEXISTS', p .. 'history:' .. sub, 'removed') == 0 then redis.call('DEL', p .. 'history:' .. sub) end
    end
  end
  return {early, redis.call('ZCOUNT', p .. 'histories', '-inf', now) > 0 and '1' or '0'}
end

-- Trims the dead deliveries. Arguments: keep, their retention (ms); limit, their number in all; removals, their maximum in this call.
-- Returns as `trim_histories`. Their records outlive the retention a little, so that their subscription is known here.
local function trim_dead(_, args)
  local p, now = args.prefix, current_time(args)
  local all, most = p .. 'deliveries:dead', args.removals
  local old = redis.call('ZRANGEBYSCORE', all, '-inf', now - args.keep, 'LIMIT', 0, most)
  local over = redis.call('ZCARD', all) - #old - args.limit
  over = math.min(over, most - #old)
  local early = over > 0 and redis.call('ZRANGE', all, #old, #old + over - 1) or {}
  for _, ids in ipairs({old, early}) do
    for _, id in ipairs(ids) do
      redis.call('ZREM', all, id)
      forget(p, redis.call('HGET', p .. 'delivery:' .. id, 'subscription') or '', id)
    end
  end
  return {#early, #old + #early >= most and '1' or '0'}
end

register('trim_histories', trim_histories)
register('trim_dead', trim_dead)
