-- What came before: the events of the stream that are gone through for one subscription alone, when it begins with a time gone by, was
-- paused, or asks for all again. Builds on fan_out.lua.

-- How many deliveries may wait at an endpoint before more of its backlog is added: what is published meanwhile comes soon after them.
local WAITING = 100
-- How often it is looked whether a subscription goes on again whose backlog lies still, in ms.
local STANDSTILL = 5000

-- prefix, now, lease. Takes the backlog that waits longest, for so many ms. Answers {id, subscription, at, upto, again}, or false where
-- none is to be gone on with at the moment.
local function take_backlog(_, argv)
  local p, lease = argv[1], tonumber(argv[3])
  local now = moment(p, argv[2])
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', p .. 'backlogs', '-inf', now, 'LIMIT', 0, 20)) do
    local sub, at, upto, again = unpack(redis.call('HMGET', p .. 'backlog:' .. id, 'subscription', 'at', 'upto', 'again'))
    local status = redis.call('HGET', p .. 'subscription:' .. (sub or ''), 'status')
    if not status then
      redis.call('ZREM', p .. 'backlogs', id)
      redis.call('DEL', p .. 'backlog:' .. id)
    elseif status ~= 'active' then
      redis.call('ZADD', p .. 'backlogs', now + STANDSTILL, id)
    elseif redis.call('ZCARD', p .. 'due:' .. sub) + redis.call('ZCARD', p .. 'leased:' .. sub) >= WAITING then
      redis.call('ZADD', p .. 'backlogs', now + 500, id)
    else
      redis.call('ZADD', p .. 'backlogs', now + lease, id)
      redis.call('HSET', p .. 'backlog:' .. id, 'state', 'running')
      return {id, sub, at, upto or '', again}
    end
  end
  return false
end

-- The places that a subscription has and had: {digest, joined, after, left or nil}.
local function places(p, sub)
  local digest, joined, after, attached, formers = unpack(redis.call('HMGET', p .. 'subscription:' .. sub, 'digest', 'seq', 'after',
    'attached', 'formers'))
  local found = {{sub, 0, '0-0'}}
  for former, since, entry, left in string.gmatch(formers or '', PLACE) do
    found[#found + 1] = {former, tonumber(since), entry, tonumber(left)}
  end
  if attached == '1' then found[#found + 1] = {digest, tonumber(joined), after} end
  return found
end

-- prefix, id of the backlog, where it was, where it is now, its end, whether that is reached ('1'), now, keep, how many entries were
-- looked at; then for each event: id, type, kind (published or retracted), article, version, entry, envelope, whether it is asked for
-- ('1'). Enqueues deliveries of one subscription and remembers how far it got, in one step. Of an event there is a delivery where the
-- subscription asks for it, or was sent an earlier version; none where a later one took its place, or where a fan-out has seen to it.
-- Answers how many were enqueued, or -1 where somebody else went on with it.
local function step_backlog(_, argv)
  local p, backlog = argv[1], argv[1] .. 'backlog:' .. argv[2]
  local sub, at, mode, first, last = unpack(redis.call('HMGET', backlog, 'subscription', 'at', 'again', 'first', 'last'))
  if at ~= argv[3] then return -1 end
  local now, keep = moment(p, argv[7]), argv[8]
  if redis.call('HGET', p .. 'subscription:' .. sub, 'status') ~= 'active' then return 0 end
  local mine, enqueued = places(p, sub), 0
  local upto = redis.call('GET', p .. 'subscriptions:seq')
  local repeated = mode == '1'
  for i = 10, #argv, 8 do
    local e = {id = argv[i], type = argv[i + 1], article = argv[i + 3], version = argv[i + 4]}
    local entry, told = argv[i + 5], p .. 'told:' .. argv[i + 3]
    local latest, latest_event, begun = unpack(redis.call('HMGET', told, 'rank', 'event', 'moment'))
    latest = tonumber(latest)
    begun = tonumber(latest_event == e.id and begun or redis.call('HGET', p .. 'fanout:' .. e.id, 'moment'))
    local seen = not repeated and begun and (begun < tonumber(first) or begun >= tonumber(last))
    local replaced = latest and latest > rank_of(e.version, argv[i + 2])
    local asked, before = argv[i + 7] == '1' and mode ~= 'told', false
    for _, place in ipairs(seen and {} or mine) do
      before = before or was_told(redis.call('HGET', told, place[1]), place[2], place[3], place[4])
    end
    if (asked or before) and not seen and not replaced then
      local key = p .. 'delivery:' .. delivery_id(e.id, sub)
      local made = enqueue(p, sub, e, asked and 'matched' or 'previously_matched', now, keep)
      if made == 0 and repeated then made = again(p, sub, delivery_id(e.id, sub), now, keep) end
      if made == 1 then redis.call('HSETNX', key, 'envelope', argv[i + 6]) end
      if not before then
        redis.call('HSET', told, sub, upto .. '|' .. entry)
        redis.call('PERSIST', told)
      end
      enqueued = enqueued + made
    end
  end
  redis.call('HINCRBY', backlog, 'enqueued', enqueued)
  redis.call('HINCRBY', backlog, 'looked_at', argv[9])
  redis.call('HSET', backlog, 'at', argv[4], 'upto', argv[5])
  if argv[6] == '1' then
    redis.call('HSET', backlog, 'state', 'done', 'ended', now)
    redis.call('PEXPIRE', backlog, keep)
    redis.call('ZREM', p .. 'backlogs', argv[2])
  else
    redis.call('ZADD', p .. 'backlogs', now, argv[2])
  end
  return enqueued
end

-- prefix, id, account, since (ms), the entry before it, now. Asks for all since a time to be sent again.
-- Answers OK | MISSING | PAUSED | DISABLED | RUNNING.
local function replay_since(_, argv)
  local p, id = argv[1], argv[2]
  local key = p .. 'subscription:' .. id
  local found = own(p, id, argv[3])
  if not found then return 'MISSING' end
  if found.status ~= 'active' then return found.status == 'paused' and 'PAUSED' or 'DISABLED' end
  local running = redis.call('HGET', key, 'backlog')
  if running and redis.call('ZSCORE', p .. 'backlogs', running) then return 'RUNNING' end
  look_back(p, id, argv[5], argv[4], 0, 0, '1', moment(p, argv[6]))
  return 'OK'
end

register('take_backlog', take_backlog)
register('step_backlog', step_backlog)
register('replay_since', replay_since)
