-- Subscriptions and their queue of deliveries. Every name is built from the prefix, which is the first argument of each call.
-- Times are ms. `now` is '' for the time of this server, on which all workers agree whatever their own clocks say.
-- Per subscription: `due:` (waiting deliveries by due time), `leased:` (those in flight by end of lease), `pending:` (article →
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
    for _, queue in ipairs({p .. 'due:' .. sub, p .. 'leased:' .. sub}) do
      for _, id in ipairs(redis.call('ZRANGE', queue, 0, -1)) do redis.call('ZINCRBY', queue, -by, id) end
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

local function change(p, op, digest, definition)
  local count = redis.call('INCR', p .. 'subscriptions:changed')
  redis.call('XADD', p .. 'subscriptions:changes', 'MAXLEN', '~', 10000, '*', 'count', count, 'op', op, 'digest', digest,
    'definition', definition)
end

-- Works out when an endpoint is next to be looked at.
local function reschedule(p, sub, cap)
  local due, leased = p .. 'due:' .. sub, p .. 'leased:' .. sub
  local next
  if redis.call('ZCARD', leased) < cap then next = tonumber(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]) end
  local expiry = tonumber(redis.call('ZRANGE', leased, 0, 0, 'WITHSCORES')[2])
  if expiry and (not next or expiry < next) then next = expiry end
  if next then redis.call('ZADD', p .. 'endpoints', next, sub) else redis.call('ZREM', p .. 'endpoints', sub) end
end

-- Ends a delivery; it stays readable for as long as ended ones are kept.
local function finish(p, id, state, now, keep)
  local key = p .. 'delivery:' .. id
  local sub, article, event, version = unpack(redis.call('HMGET', key, 'subscription', 'article', 'event', 'version'))
  redis.call('HSET', key, 'state', state, 'ended', now)
  redis.call('PEXPIRE', key, keep)
  redis.call('PEXPIRE', key .. ':attempts', keep)
  if redis.call('HGET', p .. 'pending:' .. sub, article) == id then redis.call('HDEL', p .. 'pending:' .. sub, article) end
  redis.call('HSET', p .. 'progress:' .. event, 'article', article, 'version', version)
  redis.call('HINCRBY', p .. 'progress:' .. event, state, 1)
  redis.call('PEXPIRE', p .. 'progress:' .. event, keep)
  redis.call('SADD', p .. 'progressed', event)
end

local function cancel_all(p, sub, now, keep)
  for _, queue in ipairs({'due:', 'leased:'}) do
    for _, id in ipairs(redis.call('ZRANGE', p .. queue .. sub, 0, -1)) do finish(p, id, 'cancelled', now, keep) end
    redis.call('DEL', p .. queue .. sub)
  end
  redis.call('DEL', p .. 'pending:' .. sub)
  redis.call('ZREM', p .. 'endpoints', sub)
end

local function detach(p, sub)
  local key = p .. 'subscription:' .. sub
  local digest, after, attached = unpack(redis.call('HMGET', key, 'digest', 'after', 'attached'))
  if attached ~= '1' then return end
  redis.call('HSET', key, 'attached', '0')
  redis.call('ZREM', p .. 'subscribers:' .. digest, sub .. '|' .. after)
  if redis.call('EXISTS', p .. 'subscribers:' .. digest) == 0 then
    redis.call('HDEL', p .. 'filters', digest)
    change(p, 'remove', digest, '')
  end
end

-- prefix, id, account, digest, definition, after, limit, created (ms), then the fields of the subscription.
local function subscribe(_, argv)
  local p, id, account, digest, definition, after = argv[1], argv[2], argv[3], argv[4], argv[5], argv[6]
  local own = p .. 'subscriptions:' .. account
  if redis.call('ZCARD', own) >= tonumber(argv[7]) then return -1 end
  local seq = redis.call('INCR', p .. 'subscriptions:seq')
  redis.call('HSET', p .. 'subscription:' .. id, 'id', id, 'account', account, 'digest', digest, 'after', after, 'seq', seq,
    'attached', '1', unpack(argv, 9))
  redis.call('ZADD', own, argv[8], id)
  redis.call('ZADD', p .. 'subscribers:' .. digest, seq, id .. '|' .. after)
  if redis.call('HSETNX', p .. 'filters', digest, definition) == 1 then change(p, 'add', digest, definition) end
  return seq
end

-- prefix, id, account, now, keep. Answers 0 where the account has no such subscription.
local function unsubscribe(_, argv)
  local p, id = argv[1], argv[2]
  if redis.call('HGET', p .. 'subscription:' .. id, 'account') ~= argv[3] then return 0 end
  detach(p, id)
  cancel_all(p, id, moment(p, argv[4]), argv[5])
  redis.call('ZREM', p .. 'subscriptions:' .. argv[3], id)
  redis.call('DEL', p .. 'subscription:' .. id, p .. 'deliveries:' .. id)
  return 1
end

-- Puts one delivery into the queue, unless it is or was there; a waiting one of an earlier version gives way to it.
local function enqueue(p, sub, e, reason, now, keep)
  local id = 'msg_' .. redis.sha1hex(e.id .. '|' .. sub)
  local key, pending = p .. 'delivery:' .. id, p .. 'pending:' .. sub
  if redis.call('EXISTS', key) == 1 then return 0 end
  local earlier = redis.call('HGET', pending, e.article)
  if earlier and redis.call('ZREM', p .. 'due:' .. sub, earlier) == 1 then finish(p, earlier, 'superseded', now, keep) end
  redis.call('HSET', key, 'event', e.id, 'type', e.type, 'article', e.article, 'version', e.version, 'subscription', sub,
    'reason', reason, 'state', 'waiting', 'attempt', 0, 'failures', 0, 'created', now)
  redis.call('HSET', pending, e.article, id)
  redis.call('ZADD', p .. 'due:' .. sub, now, id)
  redis.call('ZADD', p .. 'deliveries:' .. sub, now, id)
  redis.call('ZREMRANGEBYRANK', p .. 'deliveries:' .. sub, 0, -1001)
  redis.call('ZADD', p .. 'endpoints', 'LT', now, sub)
  return 1
end

-- Decides who is told of an event, once: prefix, event id, type, kind (published or retracted), article, version, entry id,
-- envelope, now, ttl, then the matched digests. A `told:` hash remembers per article, for each digest that was told, up to which
-- subscription ("seq|entry"), and the latest event. An event that comes after a later one of its article (a late redelivery)
-- tells its matches of that later one instead. The plan is a list of "digest|seq|entry|reason".
local function begin(_, argv)
  local p, event, kind, article, version, entry = argv[1], argv[2], argv[4], argv[5], argv[6], argv[7]
  local fan, told = p .. 'fanout:' .. event, p .. 'told:' .. article
  if redis.call('EXISTS', fan) == 1 then return 0 end
  local upto = redis.call('GET', p .. 'subscriptions:seq') or '0'
  local rank = rank_of(version, kind)
  local last_rank, last_event = unpack(redis.call('HMGET', told, 'rank', 'event'))
  local late = last_rank and tonumber(last_rank) > rank
  local retracted_since = late and tonumber(last_rank) % 2 == 1
  local planned = {}
  local plan = fan .. ':plan'
  if not (late and (kind == 'retracted' or retracted_since)) then
    for i = 11, #argv do
      planned[argv[i]] = true
      redis.call('RPUSH', plan, argv[i] .. '|' .. upto .. '|' .. entry .. '|' .. (late and 'previously_matched' or 'matched'))
    end
    local before = redis.call('HGETALL', told)
    local entries = {}
    for i = 1, #before, 2 do
      local seq, at = string.match(before[i + 1], '^(%d+)|(.*)$')
      if seq then
        entries[before[i]] = at
        if not late and not planned[before[i]] then redis.call('RPUSH', plan, before[i] .. '|' .. before[i + 1] .. '|previously_matched') end
      end
    end
    for digest in pairs(planned) do
      if not entries[digest] or less(entries[digest], entry) then redis.call('HSET', told, digest, upto .. '|' .. entry) end
    end
  end
  if not late then redis.call('HSET', told, 'rank', rank, 'event', event) end
  if kind == 'retracted' and not late then redis.call('HSET', told, 'retracted', rank) end
  local anybody = redis.call('HLEN', told) - redis.call('HEXISTS', told, 'retracted') > 2
  if anybody then redis.call('PERSIST', told) else redis.call('PEXPIRE', told, argv[10]) end
  redis.call('PEXPIRE', plan, argv[10])
  redis.call('HSET', fan, 'id', event, 'type', argv[3], 'article', article, 'version', version, 'rank', rank, 'envelope', argv[8],
    'target', late and last_event or event, 'at', 0, 'matched', 0, 'previously_matched', 0)
  redis.call('PEXPIRE', fan, argv[10])
  if kind == 'retracted' then redis.call('DEL', p .. 'answers:' .. article) end
  return 1
end

-- Enqueues the next chunk of an event's plan and remembers how far it got, in one step. While something is left, the event
-- stands in `expanding`, behind all others that do. Answers {enqueued, plan entries left, matched, previously matched, announced}.
local function expand_next(p, event, chunk, now, keep)
  local fan = p .. 'fanout:' .. event
  local plan = fan .. ':plan'
  local target, at, article = unpack(redis.call('HMGET', fan, 'target', 'at', 'article'))
  if not target then return {0, 0, 0, 0, '1'} end
  local found = redis.call('HMGET', p .. 'fanout:' .. target, 'id', 'type', 'article', 'version', 'rank')
  local e = {id = found[1], type = found[2], article = found[3], version = found[4]}
  local latest = redis.call('HGET', p .. 'told:' .. article, 'rank')
  -- Whoever is still in the plan was in `told:` when a later event made its own plan: that one reaches them.
  if not e.id or (latest and tonumber(latest) > tonumber(found[5])) then redis.call('DEL', plan) end
  local enqueued = 0
  while chunk > 0 do
    local head = redis.call('LINDEX', plan, 0)
    if not head then break end
    local digest, upto, entry, reason = string.match(head, '^(.-)|(.-)|(.-)|(.*)$')
    local page = redis.call('ZRANGEBYSCORE', p .. 'subscribers:' .. digest, '(' .. at, upto, 'WITHSCORES', 'LIMIT', 0, chunk)
    for i = 1, #page, 2 do
      local sub, after = string.match(page[i], '^(.*)|(.*)$')
      at = page[i + 1]
      if less(after, entry) and enqueue(p, sub, e, reason, now, keep) == 1 then
        enqueued = enqueued + 1
        redis.call('HINCRBY', fan, reason, 1)
      end
    end
    if #page / 2 < chunk then
      redis.call('LPOP', plan)
      at = '0'
    end
    chunk = chunk - math.max(1, #page / 2)
    redis.call('HSET', fan, 'at', at)
  end
  local left = redis.call('LLEN', plan)
  if left > 0 then redis.call('ZADD', p .. 'expanding', redis.call('INCR', p .. 'expanding:turns'), event) end
  local counts = redis.call('HMGET', fan, 'matched', 'previously_matched', 'announced')
  return {enqueued, left, tonumber(counts[1]), tonumber(counts[2]), counts[3] or ''}
end

-- prefix, event id, chunk, now, keep.
local function expand(_, argv)
  return expand_next(argv[1], argv[2], tonumber(argv[3]), moment(argv[1], argv[4]), argv[5])
end

-- prefix, chunk, most that may wait, now, keep. Gives the event whose turn it is its next chunk, unless so many endpoints have
-- work due that it would only wait there. Answers 'FULL', false where there is none, or {event id, envelope, article, version,
-- what `expand` answers …}; one that is wholly expanded stays until it is `announced`.
local function take_turn(_, argv)
  local p, now = argv[1], moment(argv[1], argv[4])
  local event = redis.call('ZRANGE', p .. 'expanding', 0, 0)[1]
  if not event then return false end
  if redis.call('ZCOUNT', p .. 'endpoints', '-inf', now) >= tonumber(argv[3]) then return 'FULL' end
  local progress = expand_next(p, event, tonumber(argv[2]), now, argv[5])
  local found = redis.call('HMGET', p .. 'fanout:' .. event, 'envelope', 'article', 'version')
  if not found[1] or progress[5] == '1' then redis.call('ZREM', p .. 'expanding', event) end
  return {event, found[1] or '', found[2] or '', tonumber(found[3] or 0), unpack(progress)}
end

-- prefix, then the ids of events of which the world has been told how many deliveries they make.
local function announced(_, argv)
  for i = 2, #argv do
    local fan = argv[1] .. 'fanout:' .. argv[i]
    if redis.call('EXISTS', fan) == 1 then redis.call('HSET', fan, 'announced', '1') end
    redis.call('ZREM', argv[1] .. 'expanding', argv[i])
  end
  return 'OK'
end

-- prefix, now, lease, limit, cap per endpoint, keep. Answers {{id, attempt, failures, event, type, article, version, reason,
-- subscription, url, secret, content, envelope}, …}.
local function claim(_, argv)
  local p, lease = argv[1], tonumber(argv[3])
  local now = moment(p, argv[2])
  local left, cap, keep = tonumber(argv[4]), tonumber(argv[5]), argv[6]
  local jobs = {}
  for _, sub in ipairs(redis.call('ZRANGEBYSCORE', p .. 'endpoints', '-inf', now, 'LIMIT', 0, left)) do
    if left <= 0 then break end
    local due, leased = p .. 'due:' .. sub, p .. 'leased:' .. sub
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', leased, '-inf', now)) do
      redis.call('ZREM', leased, id)
      local article = redis.call('HGET', p .. 'delivery:' .. id, 'article')
      if redis.call('HGET', p .. 'pending:' .. sub, article) ~= id then
        finish(p, id, 'superseded', now, keep)
      else
        redis.call('HSET', p .. 'delivery:' .. id, 'state', 'waiting')
        redis.call('ZADD', due, now, id)
      end
    end
    local url, secret, content = unpack(redis.call('HMGET', p .. 'subscription:' .. sub, 'url', 'secret', 'content'))
    local free = math.min(cap - redis.call('ZCARD', leased), left)
    if free > 0 then
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, free)) do
        local key = p .. 'delivery:' .. id
        local attempt = redis.call('HINCRBY', key, 'attempt', 1)
        redis.call('HSET', key, 'state', 'delivering')
        redis.call('ZREM', due, id)
        redis.call('ZADD', leased, now + lease, id)
        local d = redis.call('HMGET', key, 'failures', 'event', 'type', 'article', 'version', 'reason', 'envelope')
        local envelope = d[7] or redis.call('HGET', p .. 'fanout:' .. d[2], 'envelope') or ''
        jobs[#jobs + 1] = {id, attempt, tonumber(d[1]), d[2], d[3], d[4], tonumber(d[5]), d[6], sub, url, secret, content, envelope}
        left = left - 1
      end
    end
    reschedule(p, sub, cap)
  end
  return jobs
end

-- prefix, id, attempt, outcome (delivered, retry, dead, gone, cancelled, released), now, cap, keep, keep dead, wait, record of the
-- attempt or '', what the endpoint answered. `wait`: until a retry is due. Answers the state the delivery is in now, or false for one whose lease is lost.
local function settle(_, argv)
  local p, id, outcome, cap, keep = argv[1], argv[2], argv[4], tonumber(argv[6]), argv[7]
  local now = moment(p, argv[5])
  local key = p .. 'delivery:' .. id
  local attempt, state, sub, article, event, version = unpack(redis.call('HMGET', key, 'attempt', 'state', 'subscription',
    'article', 'event', 'version'))
  if attempt ~= argv[3] or state ~= 'delivering' then return false end
  redis.call('ZREM', p .. 'leased:' .. sub, id)
  if argv[10] ~= '' then
    redis.call('RPUSH', key .. ':attempts', argv[10])
    redis.call('LTRIM', key .. ':attempts', -20, -1)
    local retracted = redis.call('HGET', p .. 'told:' .. article, 'retracted')
    -- An answer may quote what was sent: none is kept of a version that has been retracted since.
    if argv[11] ~= '' and not (retracted and tonumber(retracted) > tonumber(version) * 2) then
      redis.call('HSET', p .. 'answers:' .. article, id .. '|' .. attempt, argv[11])
      redis.call('PEXPIRE', p .. 'answers:' .. article, math.max(tonumber(keep), tonumber(argv[8])))
    end
  end
  local overtaken = redis.call('HGET', p .. 'pending:' .. sub, article) ~= id
  if outcome == 'retry' or outcome == 'released' then
    if outcome == 'retry' then redis.call('HINCRBY', key, 'failures', 1) end
    if overtaken then
      state = 'superseded'
      finish(p, id, state, now, keep)
    else
      state = 'waiting'
      redis.call('HSET', key, 'state', state)
      redis.call('ZADD', p .. 'due:' .. sub, now + tonumber(argv[9]), id)
    end
  elseif outcome == 'dead' or outcome == 'gone' then
    state = 'dead'
    redis.call('HSET', key, 'envelope', redis.call('HGET', p .. 'fanout:' .. event, 'envelope') or '')
    finish(p, id, state, now, argv[8])
    redis.call('ZADD', p .. 'deliveries:dead', now, id)
    redis.call('ZREMRANGEBYSCORE', p .. 'deliveries:dead', '-inf', now - tonumber(argv[8]))
  else
    state = outcome
    finish(p, id, state, now, keep)
  end
  if outcome == 'gone' then
    redis.call('HSET', p .. 'subscription:' .. sub, 'status', 'disabled')
    detach(p, sub)
    cancel_all(p, sub, now, keep)
  else
    reschedule(p, sub, cap)
  end
  return state
end

-- prefix, id, now. Puts a dead delivery back into its queue. Answers OK, MISSING, UNSUBSCRIBED or SUPERSEDED.
local function revive(_, argv)
  local p, id, now = argv[1], argv[2], moment(argv[1], argv[3])
  local key = p .. 'delivery:' .. id
  local state, sub, article, event, version, kind = unpack(redis.call('HMGET', key, 'state', 'subscription', 'article', 'event',
    'version', 'type'))
  if state ~= 'dead' then
    redis.call('ZREM', p .. 'deliveries:dead', id)
    return 'MISSING'
  end
  if redis.call('HGET', p .. 'subscription:' .. sub, 'status') ~= 'active' then return 'UNSUBSCRIBED' end
  local rank = rank_of(version, string.find(kind, 'retracted', 1, true) and 'retracted' or 'published')
  local latest = redis.call('HGET', p .. 'told:' .. article, 'rank')
  if latest and tonumber(latest) > rank then return 'SUPERSEDED' end
  redis.call('PERSIST', key)
  redis.call('PERSIST', key .. ':attempts')
  redis.call('HSET', key, 'state', 'waiting', 'failures', 0)
  redis.call('HDEL', key, 'ended')
  redis.call('HSET', p .. 'pending:' .. sub, article, id)
  redis.call('ZADD', p .. 'due:' .. sub, now, id)
  redis.call('ZADD', p .. 'endpoints', 'LT', now, sub)
  redis.call('ZREM', p .. 'deliveries:dead', id)
  if redis.call('EXISTS', p .. 'progress:' .. event) == 1 then redis.call('HINCRBY', p .. 'progress:' .. event, 'dead', -1) end
  return 'OK'
end

-- prefix, now. Answers in how many ms some endpoint has work next, or false where none has.
local function next_wait(_, argv)
  local head = redis.call('ZRANGE', argv[1] .. 'endpoints', 0, 0, 'WITHSCORES')
  if not head[2] then return false end
  return math.max(0, math.ceil(tonumber(head[2]) - moment(argv[1], argv[2])))
end

register('next_wait', next_wait)
register('subscribe', subscribe)
register('unsubscribe', unsubscribe)
register('begin', begin)
register('expand', expand)
register('take_turn', take_turn)
register('announced', announced)
register('claim', claim)
register('settle', settle)
register('revive', revive)
