-- From an event to a delivery for everyone who is to be told. Builds on queue.lua and subscribing.lua.

local function delivery_id(event, sub)
  return 'msg_' .. redis.sha1hex(event .. '|' .. sub)
end

-- Puts one delivery into the queue, unless it is or was there; a waiting one of an earlier version gives way to it. That of a
-- subscription that is paused is held; one that is disabled gets none.
local function enqueue(p, sub, e, reason, now, keep, status)
  local id = delivery_id(e.id, sub)
  local key, pending = p .. 'delivery:' .. id, p .. 'pending:' .. sub
  if redis.call('EXISTS', key) == 1 then return 0 end
  local earlier = redis.call('HGET', pending, e.article)
  if earlier then
    if redis.call('ZREM', p .. 'due:' .. sub, earlier) + redis.call('ZREM', p .. 'held:' .. sub, earlier) > 0 then
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
  redis.call('ZADD', p .. 'deliveries:' .. sub, now, id)
  if status == 'paused' then
    redis.call('ZADD', p .. 'held:' .. sub, now, id)
  else
    redis.call('ZADD', p .. 'due:' .. sub, now, id)
    redis.call('ZADD', p .. 'endpoints', 'LT', now, sub)
  end
  return 1
end

-- Sends an ended delivery once more, with the id that it had.
local function again(p, sub, id, now, keep)
  local key = p .. 'delivery:' .. id
  local state, event, article, version = unpack(redis.call('HMGET', key, 'state', 'event', 'article', 'version'))
  if state == 'waiting' or state == 'delivering' then return 0 end
  redis.call('PERSIST', key)
  redis.call('PERSIST', key .. ':attempts')
  redis.call('HSET', key, 'state', 'waiting', 'failures', 0)
  redis.call('HDEL', key, 'ended')
  redis.call('HSET', p .. 'pending:' .. sub, article, id)
  let_wait(p, sub, id, now)
  if redis.call('EXISTS', p .. 'due:' .. sub) == 1 then redis.call('ZADD', p .. 'endpoints', 'LT', now, sub) end
  redis.call('ZREM', p .. 'deliveries:dead', id)
  count(p, event, article, version, state, -1, keep)
  return 1
end

-- What `told:` holds of a digest once it matched again: the last time first, and those before it that somebody who left since was told at.
local function told_again(p, digest, before, upto, entry)
  local last = string.match(before or '', '^(%d+)|')
  if not last then return upto .. '|' .. entry end
  local _, rest = string.match(before, '^(%d+|[^|]+)|?(.*)$')
  local needed = redis.call('ZCOUNT', p .. 'formers:' .. digest, '(' .. last, upto) > 0 and before or rest
  return upto .. '|' .. entry .. (needed ~= '' and '|' .. needed or '')
end

-- Whether anybody was sent any version of an article: `told:` holds more than what it says of the article itself.
local function has_recipients(told)
  local own = 0
  for _, value in ipairs(redis.call('HMGET', told, 'rank', 'event', 'moment', 'retracted')) do own = own + (value and 1 or 0) end
  return redis.call('HLEN', told) > own
end

-- Decides who is told of an event, once: prefix, event id, type, kind (published or retracted), article, version, entry id,
-- envelope, now, ms that the decision is kept once it is carried out, the number of the change of filters up to which was matched,
-- then the matched digests. Answers -1 where the filters have changed since: then nothing is decided. A `told:` hash remembers per
-- article, for each digest that was told, at which moment and by which entry ("moment|entry"), and the latest event: its id, its
-- rank and the moment of its decision. An event that comes after a later one of its article (a late redelivery) tells its matches
-- of that later one instead. It expires only where nobody was sent anything. The plan is a list of "digest|moment|entry|reason".
local function begin(_, argv)
  local p, event, kind, article, version, entry = argv[1], argv[2], argv[4], argv[5], argv[6], argv[7]
  local fan, told = p .. 'fanout:' .. event, p .. 'told:' .. article
  if redis.call('EXISTS', fan) == 1 then return 0 end
  if (redis.call('GET', p .. 'subscriptions:changed') or '0') ~= argv[11] then return -1 end
  local upto = redis.call('GET', p .. 'subscriptions:seq') or '0'
  local rank = rank_of(version, kind)
  local last_rank, last_event = unpack(redis.call('HMGET', told, 'rank', 'event'))
  local late = last_rank and tonumber(last_rank) > rank
  local retracted_since = late and tonumber(last_rank) % 2 == 1
  local planned = {}
  local plan = fan .. ':plan'
  if not (late and (kind == 'retracted' or retracted_since)) then
    for i = 12, #argv do
      planned[argv[i]] = true
      redis.call('RPUSH', plan, argv[i] .. '|' .. upto .. '|' .. entry .. '|' .. (late and 'previously_matched' or 'matched'))
    end
    local before = redis.call('HGETALL', told)
    local entries = {}
    for i = 1, #before, 2 do
      local last, at = string.match(before[i + 1], '^(%d+)|([^|]+)')
      if last then
        entries[before[i]] = {at = at, all = before[i + 1]}
        if not late and not planned[before[i]] then
          redis.call('RPUSH', plan, before[i] .. '|' .. last .. '|' .. at .. '|previously_matched')
        end
      end
    end
    for digest in pairs(planned) do
      local known = entries[digest]
      if not known or less(known.at, entry) then
        redis.call('HSET', told, digest, told_again(p, digest, known and known.all, upto, entry))
      end
    end
  end
  if not late then
    redis.call('HSET', told, 'rank', rank, 'event', event, 'moment', upto)
    redis.call('SET', p .. 'last_decided', entry)
  end
  if kind == 'retracted' and not late then redis.call('HSET', told, 'retracted', rank) end
  if has_recipients(told) then redis.call('PERSIST', told) else redis.call('PEXPIRE', told, argv[10]) end
  redis.call('HSET', fan, 'id', event, 'type', argv[3], 'article', article, 'version', version, 'rank', rank, 'envelope', argv[8],
    'target', late and last_event or event, 'moment', upto, 'at', 0, 'matched', 0, 'previously_matched', 0)
  if kind == 'retracted' then redis.call('DEL', p .. 'answers:' .. article) end
  return 1
end

-- Enqueues the next chunk of an event's plan and remembers how far it got, in one step. While something is left, the event
-- stands in `expanding`, behind all others that do, and nothing of it expires. Answers {enqueued, plan entries left, matched,
-- previously matched, announced}.
local function expand_next(p, event, chunk, now, keep, decided)
  local fan = p .. 'fanout:' .. event
  local plan = fan .. ':plan'
  local target, at, article, kind, version = unpack(redis.call('HMGET', fan, 'target', 'at', 'article', 'type', 'version'))
  if not target then return {0, 0, 0, 0, '1'} end
  local e = {id = target, type = kind, article = article, version = version}
  local latest, latest_event = unpack(redis.call('HMGET', p .. 'told:' .. article, 'rank', 'event'))
  if latest_event ~= target then
    -- Whoever is still in the plan was in `told:` when a later event made its own plan: that one reaches them.
    redis.call('DEL', plan)
  elseif target ~= event then -- it came late: what is enqueued is the later version, which was published as this one was
    e.version = math.floor(tonumber(latest) / 2)
  end
  local enqueued, whys = 0, {}
  while chunk > 0 do
    local head = redis.call('LINDEX', plan, 0)
    if not head then break end
    local digest, upto, entry, reason = string.match(head, '^(.-)|(.-)|(.-)|(.*)$')
    local told
    local page = redis.call('ZRANGEBYSCORE', p .. 'subscribers:' .. digest, '(' .. at, upto, 'WITHSCORES', 'LIMIT', 0, chunk)
    for i = 1, #page, 2 do
      local sub, after, left = string.match(page[i], '^([^|]*)|([^|]*)|?(%d*)$')
      at = page[i + 1]
      local wanted, why, status = less(after, entry), reason, nil
      if left ~= '' then
        left, wanted = tonumber(left), wanted and tonumber(upto) < tonumber(left)
        if not wanted then
          told = told or redis.call('HGET', p .. 'told:' .. article, digest)
          wanted, why = was_told(told, tonumber(at), after, left), 'previously_matched'
        end
        status = redis.call('HGET', p .. 'subscription:' .. sub, 'status')
        wanted = wanted and (status == 'active' or status == 'paused')
      end
      if wanted and enqueue(p, sub, e, why, now, keep, status) == 1 then
        enqueued = enqueued + 1
        whys[why] = (whys[why] or 0) + 1
      end
    end
    if #page / 2 < chunk then
      redis.call('LPOP', plan)
      at = '0'
    end
    chunk = chunk - math.max(1, #page / 2)
    redis.call('HSET', fan, 'at', at)
  end
  for why, times in pairs(whys) do redis.call('HINCRBY', fan, why, times) end
  local left = redis.call('LLEN', plan)
  if left > 0 then
    redis.call('ZADD', p .. 'expanding', redis.call('INCR', p .. 'expanding:turns'), event)
    redis.call('PERSIST', fan)
    redis.call('PERSIST', plan)
  else
    redis.call('PEXPIRE', fan, decided)
  end
  local counts = redis.call('HMGET', fan, 'matched', 'previously_matched', 'announced')
  return {enqueued, left, tonumber(counts[1]), tonumber(counts[2]), counts[3] or ''}
end

-- prefix, event id, chunk, now, keep, ms that the decision is kept once it is carried out.
local function expand(_, argv)
  return expand_next(argv[1], argv[2], tonumber(argv[3]), moment(argv[1], argv[4]), argv[5], argv[6])
end

-- prefix, chunk, most that may wait, now, keep, ms that the decision is kept once it is carried out. Gives the event whose turn it
-- is its next chunk, unless so many endpoints have work due that it would only wait there. Answers 'FULL', false where there is none, or {event id, envelope, article, version,
-- what `expand` answers …}; one that is wholly expanded stays until it is `announced`.
local function take_turn(_, argv)
  local p, now = argv[1], moment(argv[1], argv[4])
  local event = redis.call('ZRANGE', p .. 'expanding', 0, 0)[1]
  if not event then return false end
  if redis.call('ZCOUNT', p .. 'endpoints', '-inf', now) >= tonumber(argv[3]) then return 'FULL' end
  local progress = expand_next(p, event, tonumber(argv[2]), now, argv[5], argv[6])
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
