-- From an event to a delivery for everyone who is to be told. Builds on queue.lua.

-- Puts one delivery into the queue, unless it is or was there; a waiting one of an earlier version gives way to it.
local function enqueue(p, sub, e, reason, now, keep)
  local id = 'msg_' .. redis.sha1hex(e.id .. '|' .. sub)
  local key, pending = p .. 'delivery:' .. id, p .. 'pending:' .. sub
  if redis.call('EXISTS', key) == 1 then return 0 end
  local earlier = redis.call('HGET', pending, e.article)
  if earlier then
    if redis.call('ZREM', p .. 'due:' .. sub, earlier) == 1 then
      finish(p, earlier, 'superseded', now, keep)
    else
      local lease = redis.call('ZSCORE', p .. 'leased:' .. sub, earlier)
      if lease then
        redis.call('ZREM', p .. 'leased:' .. sub, earlier)
        redis.call('ZADD', p .. 'overtaken:' .. sub, lease, earlier)
      end
    end
  end
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

register('begin', begin)
register('expand', expand)
register('take_turn', take_turn)
register('announced', announced)
