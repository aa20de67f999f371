-- From an event to the deliveries of its recipients. Builds on queue.lua and subscribing.lua.

local function delivery_id(event, sub)
  return 'msg_' .. redis.sha1hex(event .. '|' .. sub)
end

-- Enqueues one delivery, unless it was enqueued before. It supersedes the delivery of an earlier version of the article. Where the
-- subscription is paused it is held. Callers pass no disabled subscription.
local function enqueue(p, sub, e, reason, now, keep, status)
  local id = delivery_id(e.id, sub)
  local key, pending = p .. 'delivery:' .. id, p .. 'pending:' .. sub
  if redis.call('EXISTS', key) == 1 then return 0 end
  local earlier = redis.call('HGET', pending, e.article)
  if earlier then
    if redis.call('ZREM', p .. 'due:' .. sub, earlier) + redis.call('ZREM', p .. 'paused:' .. sub, earlier) > 0 then
      end_delivery(p, earlier, 'superseded', now, keep)
    else
      local lease = redis.call('ZSCORE', p .. 'in_flight:' .. sub, earlier)
      if lease then
        redis.call('ZREM', p .. 'in_flight:' .. sub, earlier)
        redis.call('ZADD', p .. 'superseded_in_flight:' .. sub, lease, earlier)
      end
    end
  end
  redis.call('HSET', key, 'event', e.id, 'type', e.type, 'article', e.article, 'version', e.version, 'subscription', sub,
    'reason', reason, 'state', 'waiting', 'attempt', 0, 'failures', 0, 'created', now)
  redis.call('HSET', pending, e.article, id)
  redis.call('ZADD', p .. 'deliveries:' .. sub, now, id)
  if status == 'paused' then
    redis.call('ZADD', p .. 'paused:' .. sub, now, id)
  else
    redis.call('ZADD', p .. 'due:' .. sub, now, id)
    redis.call('ZADD', p .. 'endpoints', 'LT', now, sub)
  end
  return 1
end

-- Enqueues an ended delivery again, with the same id.
local function requeue(p, sub, id, now, keep)
  local key = p .. 'delivery:' .. id
  local state, event, article, version = unpack(redis.call('HMGET', key, 'state', 'event', 'article', 'version'))
  if state == 'waiting' or state == 'delivering' then return 0 end
  redis.call('PERSIST', key)
  redis.call('PERSIST', key .. ':attempts')
  redis.call('HSET', key, 'state', 'waiting', 'failures', 0)
  redis.call('HDEL', key, 'ended')
  redis.call('HSET', p .. 'pending:' .. sub, article, id)
  enqueue_or_hold(p, sub, id, now)
  if redis.call('EXISTS', p .. 'due:' .. sub) == 1 then redis.call('ZADD', p .. 'endpoints', 'LT', now, sub) end
  redis.call('ZREM', p .. 'deliveries:dead', id)
  count_ended(p, event, article, version, state, -1, keep)
  return 1
end

-- The field of a digest in `article_recipients:` after another match: the latest match first, then earlier ones that a former member
-- received.
local function extended_recipient(p, digest, before, upto, entry)
  local last = string.match(before or '', '^(%d+)|')
  if not last then return upto .. '|' .. entry end
  local _, rest = string.match(before, '^(%d+|[^|]+)|?(.*)$')
  local needed = redis.call('ZCOUNT', p .. 'past_memberships:' .. digest, '(' .. last, upto) > 0 and before or rest
  return upto .. '|' .. entry .. (needed ~= '' and '|' .. needed or '')
end

-- Whether any version of an article was sent to anyone: `article_recipients:` has fields beside those about the article itself.
local function has_recipients(recipients)
  local own = 0
  for _, value in ipairs(redis.call('HMGET', recipients, 'rank', 'event', 'membership_seq', 'retracted')) do
    own = own + (value and 1 or 0)
  end
  return redis.call('HLEN', recipients) > own
end

-- Plans the recipients of an event, once per event. Arguments: event, its id; type; kind (published or retracted); article; version;
-- entry, its id; envelope; keep_plan, ms that a completed plan is kept; as_of, the number of the last filter change that the matcher
-- knew; digests, those that match. Returns -1, without a plan, where filters have changed since.
-- `article_recipients:` holds for each digest of recipients the membership sequence number and the entry of the event ("seq|entry"),
-- and of the latest event its id, rank and sequence number. It expires only where the article was sent to no one. An event that comes
-- after a later one of its article (a late redelivery) gives its matches that later event instead.
-- The plan is a list of "digest|seq|entry|reason".
local function plan_event(_, args)
  local p, event, kind, article, version, entry = args.prefix, args.event, args.kind, args.article, args.version, args.entry
  local fan, recipients = p .. 'event_plan:' .. event, p .. 'article_recipients:' .. article
  if redis.call('EXISTS', fan) == 1 then return 0 end
  if tonumber(redis.call('GET', p .. 'filters:changed') or 0) ~= args.as_of then return -1 end
  local upto = redis.call('GET', p .. 'membership_seq') or '0'
  local rank = rank_of(version, kind)
  local last_rank, last_event = unpack(redis.call('HMGET', recipients, 'rank', 'event'))
  local late = last_rank and tonumber(last_rank) > rank
  local retracted_since = late and tonumber(last_rank) % 2 == 1
  local planned = {}
  local plan = fan .. ':digests'
  if not (late and (kind == 'retracted' or retracted_since)) then
    for _, digest in ipairs(args.digests) do
      planned[digest] = true
      redis.call('RPUSH', plan, digest .. '|' .. upto .. '|' .. entry .. '|' .. (late and 'previously_matched' or 'matched'))
    end
    local before = redis.call('HGETALL', recipients)
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
      if not known or entry_before(known.at, entry) then
        redis.call('HSET', recipients, digest, extended_recipient(p, digest, known and known.all, upto, entry))
      end
    end
  end
  if not late then
    redis.call('HSET', recipients, 'rank', rank, 'event', event, 'membership_seq', upto)
    redis.call('SET', p .. 'last_decided', entry)
  end
  if kind == 'retracted' and not late then redis.call('HSET', recipients, 'retracted', rank) end
  if has_recipients(recipients) then redis.call('PERSIST', recipients) else redis.call('PEXPIRE', recipients, args.keep_plan) end
  redis.call('HSET', fan, 'id', event, 'type', args.type, 'article', article, 'version', version, 'rank', rank, 'envelope', args.envelope,
    'target', late and last_event or event, 'membership_seq', upto, 'cursor', 0, 'matched', 0, 'previously_matched', 0)
  if kind == 'retracted' then redis.call('DEL', p .. 'responses:' .. article) end
  return 1
end

-- Enqueues the next chunk of an event's plan and stores the progress, in one step. An unfinished event goes to the end of `expanding`,
-- and its keys do not expire. Returns {enqueued, digests left, matched, previously matched, announced}.
local function expand_chunk(p, event, chunk, now, keep, decided)
  local fan = p .. 'event_plan:' .. event
  local plan = fan .. ':digests'
  local target, at, article, kind, version = unpack(redis.call('HMGET', fan, 'target', 'cursor', 'article', 'type', 'version'))
  if not target then return {0, 0, 0, 0, '1'} end
  local e = {id = target, type = kind, article = article, version = version}
  local latest, latest_event = unpack(redis.call('HMGET', p .. 'article_recipients:' .. article, 'rank', 'event'))
  if latest_event ~= target then
    -- The digests that are left were in `article_recipients:` when the later event was planned: that event reaches them.
    redis.call('DEL', plan)
  elseif target ~= event then -- it came late: the later version is enqueued, which is of the same kind
    e.version = math.floor(tonumber(latest) / 2)
  end
  local enqueued, whys = 0, {}
  while chunk > 0 do
    local head = redis.call('LINDEX', plan, 0)
    if not head then break end
    local digest, upto, entry, reason = string.match(head, '^(.-)|(.-)|(.-)|(.*)$')
    local recipients
    local page = redis.call('ZRANGEBYSCORE', p .. 'memberships:' .. digest, '(' .. at, upto, 'WITHSCORES', 'LIMIT', 0, chunk)
    for i = 1, #page, 2 do
      local sub, after, left = string.match(page[i], '^([^|]*)|([^|]*)|?(%d*)$')
      at = page[i + 1]
      local wanted, why, status = entry_before(after, entry), reason, nil
      if left ~= '' then
        left, wanted = tonumber(left), wanted and tonumber(upto) < tonumber(left)
        if not wanted then
          recipients = recipients or redis.call('HGET', p .. 'article_recipients:' .. article, digest)
          wanted, why = was_recipient(recipients, tonumber(at), after, left), 'previously_matched'
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
    redis.call('HSET', fan, 'cursor', at)
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

-- Expands one event. Arguments: event, its id; chunk; keep; keep_plan.
local function expand_event(_, args)
  return expand_chunk(args.prefix, args.event, args.chunk, current_time(args), args.keep, args.keep_plan)
end

-- Expands the first event of `expanding` by one chunk, unless the queue is long enough. Arguments: chunk; max_due_endpoints, the number
-- of endpoints with due work that counts as long enough; keep; keep_plan.
-- Returns 'QUEUE_FULL'; false where no event is left; or {event id, envelope, article, version, the results of `expand_event` ...}.
-- A completed event stays in `expanding` until `mark_announced`.
local function expand_next_event(_, args)
  local p, now = args.prefix, current_time(args)
  local event = redis.call('ZRANGE', p .. 'expanding', 0, 0)[1]
  if not event then return false end
  if redis.call('ZCOUNT', p .. 'endpoints', '-inf', now) >= args.max_due_endpoints then return 'QUEUE_FULL' end
  local progress = expand_chunk(p, event, args.chunk, now, args.keep, args.keep_plan)
  local found = redis.call('HMGET', p .. 'event_plan:' .. event, 'envelope', 'article', 'version')
  if not found[1] or progress[5] == '1' then redis.call('ZREM', p .. 'expanding', event) end
  return {event, found[1] or '', found[2] or '', tonumber(found[3] or 0), unpack(progress)}
end

-- Marks events whose number of deliveries was published. Arguments: events, their ids.
local function mark_announced(_, args)
  for _, event in ipairs(args.events) do
    local fan = args.prefix .. 'event_plan:' .. event
    if redis.call('EXISTS', fan) == 1 then redis.call('HSET', fan, 'announced', '1') end
    redis.call('ZREM', args.prefix .. 'expanding', event)
  end
  return 'OK'
end

register('plan_event', plan_event)
register('expand_event', expand_event)
register('expand_next_event', expand_next_event)
register('mark_announced', mark_announced)
