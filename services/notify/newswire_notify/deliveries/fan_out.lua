-- From an event to the deliveries of its recipients. Builds on queue.lua and subscribing.lua.

-- Fields, or entries of a list, that are written in one call: a function takes a limited number of arguments.
local FIELDS_PER_CALL = 1000
-- The fields of `article_recipients:` that are not about a digest.
local OF_THE_ARTICLE = {rank = true, event = true, membership_seq = true, retracted = true}

local function delivery_id(event, sub)
  return 'msg_' .. redis.sha1hex(event .. '|' .. sub)
end

-- Enqueues one delivery, unless it was enqueued before. It supersedes the delivery of an earlier version of the article. Where the
-- subscription is paused it is held. Callers pass no disabled subscription. `begin` claims it instead, where that is possible
-- (claiming.lua); nil: it is only enqueued.
local function enqueue(p, sub, e, reason, now, keep, status, begin)
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
  local begun = begin and not earlier and status ~= 'paused' and begin(sub, id, e, reason)
  redis.call('HSET', key, 'event', e.id, 'type', e.type, 'article', e.article, 'version', e.version, 'subscription', sub,
    'reason', reason, 'state', begun and 'delivering' or 'waiting', 'attempt', begun and 1 or 0, 'failures', 0, 'created', now)
  redis.call('HSET', pending, e.article, id)
  redis.call('ZADD', p .. 'deliveries:' .. sub, now, id)
  if begun then return 1 end
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

-- Whether a later version of its article supersedes a delivery.
local function is_superseded(p, article, version, kind)
  if tonumber(version) == 0 then return false end
  local latest = redis.call('HGET', p .. 'article_recipients:' .. article, 'rank')
  return latest and tonumber(latest) > rank_of(version, string.find(kind, 'retracted', 1, true) and 'retracted' or 'published')
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

-- Reads `article_recipients:` of an article. It holds the rank, the id and the sequence number of the article's latest event, and for
-- each digest of recipients the membership sequence number and the entry of the event ("seq|entry"). It expires only where the article
-- was sent to no one. Returns the latest event, the field of each digest, and how many there are; `exists` says whether there is a key.
local function recipients_of(p, article)
  local stored = redis.call('HGETALL', p .. 'article_recipients:' .. article)
  local latest, digests, count = {exists = #stored > 0}, {}, 0
  for i = 1, #stored, 2 do
    local field, value = stored[i], stored[i + 1]
    if OF_THE_ARTICLE[field] then
      latest[field] = value
    elseif string.find(value, '^%d+|[^|]') then
      digests[field], count = value, count + 1
    end
  end
  return latest, digests, count
end

local function set_fields(key, fields)
  for at = 1, #fields, FIELDS_PER_CALL do redis.call('HSET', key, unpack(fields, at, math.min(at + FIELDS_PER_CALL - 1, #fields))) end
end

-- Lists the digests that receive an event, those that match it and, unless it came late, those that were sent an earlier version of its
-- article: "digest|seq|entry|reason". Also returns the fields to be set in `article_recipients:`, and how many of them are new.
local function planned_digests(p, event, upto, known, late)
  local entries, planned, fields, new = {}, {}, {}, 0
  for _, digest in ipairs(event.digests) do
    planned[digest] = true
    entries[#entries + 1] = digest .. '|' .. upto .. '|' .. event.entry .. '|' .. (late and 'previously_matched' or 'matched')
    local before = known[digest]
    if not before then new = new + 1 end
    if not before or entry_before(string.match(before, '^%d+|([^|]+)'), event.entry) then
      fields[#fields + 1], fields[#fields + 2] = digest, extended_recipient(p, digest, before, upto, event.entry)
    end
  end
  for digest, before in pairs(late and {} or known) do
    if not planned[digest] then
      entries[#entries + 1] = digest .. '|' .. string.match(before, '^(%d+|[^|]+)') .. '|previously_matched'
    end
  end
  return entries, fields, new
end

-- Decides which digests receive an event. An event that comes after a later one of its article (a late redelivery) gives its matches that
-- later event instead, unless that is a retraction. Returns the plan.
local function new_plan(p, event, upto, keep_plan)
  local kind, article, rank = event.kind, event.article, rank_of(event.version, event.kind)
  local recipients = p .. 'article_recipients:' .. article
  local latest, known, count = recipients_of(p, article)
  local latest_rank = tonumber(latest.rank)
  local late = latest_rank and latest_rank > rank
  local entries, fields, new = {}, {}, 0
  if not (late and (kind == 'retracted' or latest_rank % 2 == 1)) then
    entries, fields, new = planned_digests(p, event, upto, known, late)
  end
  if not late then
    for _, field in ipairs({'rank', rank, 'event', event.id, 'membership_seq', upto}) do fields[#fields + 1] = field end
    if kind == 'retracted' then fields[#fields + 1], fields[#fields + 2] = 'retracted', rank end
    latest.event, latest_rank = event.id, rank
  end
  set_fields(recipients, fields)
  if count + new == 0 then
    redis.call('PEXPIRE', recipients, keep_plan)
  elseif latest.exists then
    redis.call('PERSIST', recipients)
  end
  if kind == 'retracted' then redis.call('DEL', p .. 'responses:' .. article) end
  return {id = event.id, type = event.type, article = article, version = event.version, rank = rank, target = latest.event,
    latest = latest_rank, latest_event = latest.event, upto = upto, at = '0', matched = 0, previously_matched = 0, announced = '',
    entries = entries, first = true, late = late}
end

-- Reads a plan of which a chunk was enqueued before; nil where there is none.
local function stored_plan(p, event, chunk)
  local fan = p .. 'event_plan:' .. event
  local target, at, article, kind, version, matched, previously_matched, announced = unpack(redis.call('HMGET', fan, 'target', 'cursor',
    'article', 'type', 'version', 'matched', 'previously_matched', 'announced'))
  if not target then return nil end
  local latest, latest_event = unpack(redis.call('HMGET', p .. 'article_recipients:' .. article, 'rank', 'event'))
  return {id = event, type = kind, article = article, version = version, target = target, latest = tonumber(latest),
    latest_event = latest_event, at = at, matched = tonumber(matched), previously_matched = tonumber(previously_matched),
    announced = announced or '', entries = redis.call('LRANGE', fan .. ':digests', 0, chunk - 1)}
end

-- Enqueues deliveries for up to `chunk` members of the digests of a plan. Returns how many, and how many digests are completed.
local function enqueue_chunk(p, plan, envelope, chunk, now, keep, begin)
  local e = {id = plan.target, type = plan.type, article = plan.article, version = plan.version}
  if plan.target == plan.id then e.envelope = envelope end
  -- It came late: the later version is enqueued, which is of the same kind.
  if plan.target ~= plan.id then e.version = math.floor(plan.latest / 2) end
  local enqueued, completed, at = 0, 0, plan.at
  for _, planned in ipairs(plan.entries) do
    if chunk <= 0 then break end
    local digest, upto, entry, reason = string.match(planned, '^(.-)|(.-)|(.-)|(.*)$')
    local recipients
    local page = redis.call('ZRANGEBYSCORE', p .. 'memberships:' .. digest, '(' .. at, upto, 'WITHSCORES', 'LIMIT', 0, chunk)
    for i = 1, #page, 2 do
      local sub, after, left = string.match(page[i], '^([^|]*)|([^|]*)|?(%d*)$')
      at = page[i + 1]
      local wanted, why, status = entry_before(after, entry), reason, nil
      if left ~= '' then
        left, wanted = tonumber(left), wanted and tonumber(upto) < tonumber(left)
        if not wanted then
          recipients = recipients or redis.call('HGET', p .. 'article_recipients:' .. e.article, digest)
          wanted, why = was_recipient(recipients, tonumber(at), after, left), 'previously_matched'
        end
        status = redis.call('HGET', p .. 'subscription:' .. sub, 'status')
        wanted = wanted and (status == 'active' or status == 'paused')
      end
      if wanted and enqueue(p, sub, e, why, now, keep, status, begin) == 1 then
        enqueued = enqueued + 1
        plan[why] = plan[why] + 1
      end
    end
    if #page / 2 < chunk then completed, at = completed + 1, '0' end
    chunk = chunk - math.max(1, #page / 2)
  end
  plan.at = at
  return enqueued, completed
end

-- Publishes how many deliveries an event has, in the step that stores its plan: `announcement` is the JSON of that event up to these
-- numbers. Where that fails, the plan is stored all the same, and the caller publishes it.
local function announce(plan, stream, announcement)
  local said = string.format('%s,"matched":%d,"previously_matched":%d}}', announcement, plan.matched, plan.previously_matched)
  if type(redis.pcall('XADD', stream, '*', '__data__', said)) == 'string' then plan.announced = '1' end
end

-- Enqueues the next chunk of an event's plan and stores the progress, in one step. An unfinished event goes to the end of `expanding`,
-- and its keys do not expire. A completed one is announced where there is an `announcement`. Returns {enqueued, digests left, matched,
-- previously matched, announced}.
local function expand(p, plan, envelope, chunk, now, args, begin, announcement)
  local fan = p .. 'event_plan:' .. plan.id
  local list, left, enqueued = fan .. ':digests', 0, 0
  if plan.latest_event ~= plan.target then
    -- The digests that are left were in `article_recipients:` when the later event was planned: that event reaches them.
    redis.call('DEL', list)
  else
    local completed
    enqueued, completed = enqueue_chunk(p, plan, envelope, chunk, now, args.keep, begin)
    if not plan.first then
      if completed > 0 then redis.call('LTRIM', list, completed, -1) end
      left = redis.call('LLEN', list)
    else
      left = #plan.entries - completed
      for at = completed + 1, #plan.entries, FIELDS_PER_CALL do
        redis.call('RPUSH', list, unpack(plan.entries, at, math.min(at + FIELDS_PER_CALL - 1, #plan.entries)))
      end
    end
  end
  if left == 0 and announcement and plan.announced ~= '1' then
    announce(plan, args.outcomes, announcement)
    if plan.announced == '1' and not plan.first then redis.call('ZREM', p .. 'expanding', plan.id) end
  end
  if plan.first then
    redis.call('HSET', fan, 'id', plan.id, 'type', plan.type, 'article', plan.article, 'version', plan.version, 'rank', plan.rank,
      'envelope', envelope, 'target', plan.target, 'membership_seq', plan.upto, 'cursor', plan.at, 'matched', plan.matched,
      'previously_matched', plan.previously_matched, 'announced', plan.announced)
  else
    redis.call('HSET', fan, 'cursor', plan.at, 'matched', plan.matched, 'previously_matched', plan.previously_matched, 'announced',
      plan.announced)
  end
  if left > 0 then
    redis.call('ZADD', p .. 'expanding', redis.call('INCR', p .. 'expanding:turns'), plan.id)
    if not plan.first then
      redis.call('PERSIST', fan)
      redis.call('PERSIST', list)
    end
  else
    redis.call('PEXPIRE', fan, args.keep_plan)
  end
  return {enqueued, left, plan.matched, plan.previously_matched, plan.announced}
end

-- Marks events whose number of deliveries was published.
local function mark_as_announced(p, events)
  for _, event in ipairs(events) do
    local fan = p .. 'event_plan:' .. event
    if redis.call('EXISTS', fan) == 1 then redis.call('HSET', fan, 'announced', '1') end
  end
  if #events > 0 then redis.call('ZREM', p .. 'expanding', unpack(events)) end
end

-- Plans the recipients of events, once per event, and enqueues the first chunk of each; `begin` as in `enqueue`. Arguments: events,
-- each with its id, type, kind (published or retracted), article, version, entry (its id) and digests, those that match; chunk, the
-- deliveries of one event; budget, those after which the rest of the events is left to another call; as_of, the number of the last
-- filter change that the matcher knew; announced, as in `mark_announced`; outcomes, the stream that completed events are announced on, ''
-- where the caller does that; keep; keep_plan, ms that a completed plan is kept. The envelope of each event follows, then, for the
-- stream, the announcement of each (`announce`).
-- Returns for each event, up to the budget, what `expand` returns; or -1, without a plan, where filters have changed since.
local function plan_events(p, now, args, argv, begin)
  mark_as_announced(p, args.announced)
  local current = tonumber(redis.call('GET', p .. 'filters:changed') or 0) == args.as_of
  local upto = redis.call('GET', p .. 'membership_seq') or '0'
  local progress, budget, decided = {}, args.budget, nil
  for i, event in ipairs(args.events) do
    if budget <= 0 then break end
    local plan = stored_plan(p, event.id, args.chunk)
    if not plan and current then
      plan = new_plan(p, event, upto, args.keep_plan)
      if not plan.late then decided = event.entry end
    end
    local announcement = args.outcomes ~= '' and argv[#args.events + i + 1] or nil
    progress[i] = plan and expand(p, plan, argv[i + 1], args.chunk, now, args, begin, announcement) or -1
    budget = budget - (plan and math.max(1, progress[i][1]) or 1)
  end
  if decided then redis.call('SET', p .. 'last_decided', decided) end
  return progress
end

-- Expands the first event of `expanding` by one chunk, unless the queue is long enough. Arguments: chunk; max_due_endpoints, the number
-- of endpoints with due work that counts as long enough; keep; keep_plan.
-- Returns 'QUEUE_FULL'; false where no event is left; or {event id, envelope, article, version, the results of `expand` ...}.
-- A completed event stays in `expanding` until `mark_announced`.
local function expand_next_event(_, args)
  local p, now = args.prefix, current_time(args)
  local event = redis.call('ZRANGE', p .. 'expanding', 0, 0)[1]
  if not event then return false end
  if redis.call('ZCOUNT', p .. 'endpoints', '-inf', now) >= args.max_due_endpoints then return 'QUEUE_FULL' end
  local plan = stored_plan(p, event, args.chunk)
  if not plan then
    redis.call('ZREM', p .. 'expanding', event)
    return {event, '', '', 0, 0, 0, 0, 0, '1'}
  end
  local progress = expand(p, plan, nil, args.chunk, now, args)
  if progress[5] == '1' then redis.call('ZREM', p .. 'expanding', event) end
  return {event, redis.call('HGET', p .. 'event_plan:' .. event, 'envelope'), plan.article, tonumber(plan.version), unpack(progress)}
end

-- Marks events whose number of deliveries was published. Arguments: events, their ids.
local function mark_announced(_, args)
  mark_as_announced(args.prefix, args.events)
  return 'OK'
end

register('expand_next_event', expand_next_event)
register('mark_announced', mark_announced)
