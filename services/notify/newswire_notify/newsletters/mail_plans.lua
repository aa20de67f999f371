-- Plans the mails of issues, many at a time. Builds on newsletters.lua and mails.lua.

-- Issues that one step looks at: many groups have few readers.
local MAX_ISSUES = 100

-- Whether a subscriber chose one of the topics of an article, or all.
local function chose(chosen, topics)
  if chosen == '[]' then return true end
  for _, topic in ipairs(cjson.decode(chosen)) do
    if topics[topic] then return true end
  end
  return false
end

-- Whether a digest for a local date may follow the last one of a subscriber.
local function digest_may_follow(last_date, last_at, issue, min_interval)
  if (last_date or '') >= issue.local_date then return false end
  return not last_at or tonumber(issue.due) - tonumber(last_at) >= min_interval
end

-- How long after its time a subscriber's digest is sent: the end of a subscriber's id is random.
local function spread(subscriber, jitter)
  if jitter == 0 then return 0 end
  return (tonumber(string.sub(subscriber, -5), 36) or 0) % jitter
end

-- The mails of a chunk, as they are put together.
local function new_plans() return {ids = {}, states = {}, dues = {}, addresses = {}} end

local function add_plan(plans, subscriber, address, state, due)
  local at = #plans.ids + 1
  plans.ids[at], plans.states[at], plans.dues[at], plans.addresses[at] = subscriber, state, due, address
end

-- Puts mails into the queues of their domains: {domain, due, member, …}.
local function enqueue_mails(p, priority, queues)
  local firsts = {}
  for domain, queue in pairs(queues) do
    redis.call('ZADD', p .. 'newsletter_due:' .. priority .. ':' .. domain, unpack(queue.entries))
    firsts[#firsts + 1] = queue.first
    firsts[#firsts + 1] = domain
  end
  redis.call('ZADD', p .. 'newsletter_domains_due:' .. priority, 'LT', unpack(firsts))
end

-- Writes the mails of a chunk by a few commands for all of them.
local function write_plans(p, issue, plans)
  if #plans.ids == 0 then return 0 end
  local mails = p .. 'newsletter_issue_mails:' .. issue.id
  local known = redis.call('HMGET', mails, unpack(plans.ids))
  local fields, queues = {}, {}
  for at, subscriber in ipairs(plans.ids) do
    if not known[at] then
      fields[#fields + 1] = subscriber
      fields[#fields + 1] = plans.states[at]
      local domain, due = domain_of(plans.addresses[at]), plans.dues[at]
      local queue = queues[domain]
      if not queue then
        queue = {first = due, entries = {}}
        queues[domain] = queue
      end
      if due < queue.first then queue.first = due end
      queue.entries[#queue.entries + 1] = due
      queue.entries[#queue.entries + 1] = issue.id .. '|' .. subscriber
    end
  end
  if #fields == 0 then return 0 end
  redis.call('HSET', mails, unpack(fields))
  redis.call('PEXPIRE', mails, KEEP_MS)
  enqueue_mails(p, issue.priority, queues)
  redis.call('HINCRBY', p .. 'newsletter_issue:' .. issue.id, 'planned', #fields / 2)
  note_progress(p, issue.id, issue.kind)
  return #fields / 2
end

-- The mail of an alert to each subscriber of a chunk who chose one of its topics.
local function plan_alerts(p, issue, chunk, a)
  local plans, topics = new_plans(), {}
  for _, topic in ipairs(cjson.decode(issue.topics or '[]')) do topics[topic] = true end
  for _, subscriber in ipairs(chunk) do
    local found = redis.call('HMGET', p .. 'newsletter_subscriber:' .. subscriber, 'topics', 'paused_until', 'address')
    local paused = found[2] and found[2] ~= '' and tonumber(found[2]) > a.now
    if found[1] and not paused and chose(found[1], topics) then
      add_plan(plans, subscriber, found[3], 'planned|0|0|0|0', a.now)
    end
  end
  return write_plans(p, issue, plans)
end

-- The digest of each subscriber of a chunk who may get one, and for whom there is anything new.
local function plan_digests(p, issue, chunk, a)
  local plans, now, to = new_plans(), string.format('%.0f', a.now), tonumber(issue.to)
  for _, subscriber in ipairs(chunk) do
    local key = p .. 'newsletter_subscriber:' .. subscriber
    local found = redis.call('HMGET', key, 'address', 'seq', 'last_date', 'last_at', 'paused_until')
    local paused = found[5] and found[5] ~= '' and tonumber(found[5]) > a.now
    local seq = found[2] or '0'
    local fresh = found[1] and tonumber(seq) < to
    if fresh and not paused and digest_may_follow(found[3], found[4], issue, a.min_interval) then
      -- The date and the cut are written with the plan: never twice for one local date, and no item twice or never.
      redis.call('HSET', key, 'last_date', issue.local_date, 'last_at', now, 'seq', issue.to)
      add_plan(plans, subscriber, found[1], 'planned|0|0|' .. seq .. '|' .. issue.to, a.now + spread(subscriber, a.jitter))
    end
  end
  return write_plans(p, issue, plans)
end

-- Whether the mails of an issue are to be planned still. A digest that is too late is left to the next one, which holds its items.
local function is_current(p, issue, a)
  if not issue.id or is_deleted(p, issue.newsletter) then return false end
  return issue.kind ~= 'digest' or a.now - tonumber(issue.due) <= a.max_lateness
end

-- Plans the next mails of the most urgent issues. Arguments: {limit: subscribers to look at, now, min_interval, max_lateness, jitter}.
-- Returns {how many mails were planned, 1 where more may be to plan}.
register('expand_issues', function(_, a)
  local p, left, planned = a.prefix, a.limit, 0
  local expanding = p .. 'newsletter_expanding'
  for _ = 1, MAX_ISSUES do
    local id = redis.call('ZRANGE', expanding, 0, 0)[1]
    if not id then return {planned, 0} end
    local key = p .. 'newsletter_issue:' .. id
    local issue = record_of(key)
    local current = is_current(p, issue, a)
    local chunk = {}
    if current then
      local start = issue.cursor == '' and '-' or '(' .. issue.cursor
      chunk = redis.call('ZRANGEBYLEX', p .. 'newsletter_audience:' .. issue.audience, start, '+', 'LIMIT', 0, left)
      planned = planned + (issue.kind == 'alert' and plan_alerts or plan_digests)(p, issue, chunk, a)
    end
    if #chunk < left then
      redis.call('ZREM', expanding, id)
      if issue.id then redis.call('HSET', key, 'expanded', '1') end
    else
      redis.call('HSET', key, 'cursor', chunk[#chunk])
    end
    left = left - #chunk
    if left == 0 then break end
  end
  return {planned, 1}
end)

-- Withdraws digests of a restored backup that waited when it was made: they can have been sent since. Their items are left to the next
-- digest. Arguments: {issue, subscribers}. Returns how many were withdrawn.
register('withdraw_digests', function(_, a)
  local p, count = a.prefix, 0
  local mails = p .. 'newsletter_issue_mails:' .. a.issue
  for _, subscriber in ipairs(a.subscribers) do
    local mail = split(redis.call('HGET', mails, subscriber) or '', '|')
    if mail[1] == 'planned' or mail[1] == 'sending' or mail[1] == 'deferred' then
      local key, after = p .. 'newsletter_subscriber:' .. subscriber, mail[4]
      local seq = redis.call('HGET', key, 'seq')
      if seq and tonumber(seq) > tonumber(after) then redis.call('HSET', key, 'seq', after) end
      mail[1] = 'cancelled'
      redis.call('HSET', mails, subscriber, table.concat(mail, '|'))
      count = count + 1
    end
  end
  if count > 0 then redis.call('HINCRBY', p .. 'newsletter_issue:' .. a.issue, 'cancelled', count) end
  redis.call('ZREM', p .. 'newsletter_expanding', a.issue)
  return count
end)
