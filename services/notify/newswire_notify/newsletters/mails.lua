-- Issues and their mails. Builds on newsletters.lua. An issue has one mail for each subscriber of its audience; `newsletter_issue_mails:`
-- holds the state of each as "state|attempt|first|from|to": the time of the first attempt, and the sequence numbers of the items that
-- it may hold.

local KEEP_MS = 30 * 86400000
-- Priorities: confirmations, alerts, digests. Each has queues of its own, so that no digest delays an alert.
local PRIORITIES = {'0', '1', '2'}
local MAX_ITEMS = 2000

-- The receiving domain of a subscriber's mails.
local function domain_of(address) return string.lower(string.match(address or '', '@([^@]+)$') or '-') end

local function address_of(p, subscriber) return redis.call('HGET', p .. 'newsletter_subscriber:' .. subscriber, 'address') or '' end

-- Puts a mail into the queue of its domain.
local function enqueue_mail(p, priority, domain, member, due)
  redis.call('ZADD', p .. 'newsletter_due:' .. priority .. ':' .. domain, due, member)
  redis.call('ZADD', p .. 'newsletter_domains_due:' .. priority, 'LT', due, domain)
end

-- Notes that the mails of an alert have changed: `take_mail_progress` returns their numbers.
local function note_progress(p, issue, kind)
  if kind == 'alert' then redis.call('SADD', p .. 'newsletter_progressed', issue) end
end

local function split(text, separator)
  local found = {}
  for part in string.gmatch(text .. separator, '(.-)' .. separator) do found[#found + 1] = part end
  return found
end

-- Whether a newsletter was deleted. Records of deleted newsletters are kept.
local function is_deleted(p, newsletter) return redis.call('HGET', p .. 'newsletter:' .. newsletter, 'status') == 'deleted' end

-- Notes that an article matches a newsletter. Arguments: {newsletter, article, topics, now, corrected}. Returns the sequence number.
register('add_item', function(_, a)
  local p = a.prefix
  if is_deleted(p, a.newsletter) then return '0' end
  local items = p .. 'newsletter_items:' .. a.newsletter
  local known = redis.call('ZSCORE', items, a.article)
  if known then
    if not a.corrected then return known end
    local seq = redis.call('HINCRBY', p .. 'newsletter_seq', a.newsletter, 1)
    redis.call('ZADD', p .. 'newsletter_corrections:' .. a.newsletter, seq, a.article)
    return known
  end
  local seq = redis.call('HINCRBY', p .. 'newsletter_seq', a.newsletter, 1)
  redis.call('ZADD', items, seq, a.article)
  redis.call('HSET', p .. 'newsletter_item_topics:' .. a.newsletter, a.article, a.topics)
  local beyond = redis.call('ZRANGE', items, 0, -1 - MAX_ITEMS)
  for _, article in ipairs(beyond) do
    redis.call('ZREM', items, article)
    redis.call('ZREM', p .. 'newsletter_corrections:' .. a.newsletter, article)
    redis.call('HDEL', p .. 'newsletter_item_topics:' .. a.newsletter, article)
  end
  return tostring(seq)
end)

-- Reads what matched a newsletter. Arguments: {newsletter, after, last}: sequence numbers. Returns {articles with their numbers, oldest
-- first; corrected articles with those of the corrections; the topics of each of both, in this order}.
register('read_items', function(_, a)
  local found, ids = {}, {}
  for at, family in ipairs({'newsletter_items:', 'newsletter_corrections:'}) do
    found[at] = redis.call('ZRANGEBYSCORE', a.prefix .. family .. a.newsletter, string.format('(%.0f', a.after), a.last, 'WITHSCORES')
    for number = 1, #found[at], 2 do ids[#ids + 1] = found[at][number] end
  end
  local topics = #ids > 0 and redis.call('HMGET', a.prefix .. 'newsletter_item_topics:' .. a.newsletter, unpack(ids)) or {}
  return {found[1], found[2], topics}
end, {'no-writes'})

-- Forgets a retracted article. Arguments: {newsletter, article}.
register('remove_item', function(_, a)
  local p = a.prefix
  redis.call('HDEL', p .. 'newsletter_item_topics:' .. a.newsletter, a.article)
  redis.call('ZREM', p .. 'newsletter_corrections:' .. a.newsletter, a.article)
  return redis.call('ZREM', p .. 'newsletter_items:' .. a.newsletter, a.article)
end)

local function open_issue(p, a)
  local key = p .. 'newsletter_issue:' .. a.id
  if is_deleted(p, a.newsletter) or redis.call('EXISTS', key) == 1 then return 0 end
  redis.call('HSET', key, 'id', a.id, 'newsletter', a.newsletter, 'kind', a.kind, 'priority', a.priority, 'created',
    string.format('%.0f', a.now), 'due', string.format('%.0f', a.due), 'audience', a.audience, 'cursor', '',
    'to', redis.call('HGET', p .. 'newsletter_seq', a.newsletter) or 0)
  for name, value in pairs(a.fields) do redis.call('HSET', key, name, value) end
  redis.call('PEXPIRE', key, KEEP_MS)
  if a.audience ~= '' then
    redis.call('ZADD', p .. 'newsletter_issues:' .. a.newsletter, a.now, a.id)
    redis.call('ZREMRANGEBYSCORE', p .. 'newsletter_issues:' .. a.newsletter, '-inf', a.now - KEEP_MS)
    redis.call('ZADD', p .. 'newsletter_expanding', a.priority * 1e13 + a.now, a.id)
  end
  return 1
end

-- Opens an issue, once. Arguments: {id, newsletter, kind, audience, priority, now, due, fields}. An issue whose audience is '' gets
-- its mails one by one. Returns 1 where it is new.
register('open_issue', function(_, a) return open_issue(a.prefix, a) end)

-- Opens the digests of groups that are due, and notes when these are due next. Arguments: {groups}: for each {member, before, after,
-- issue}: the group in the schedule, when it was due and when it is due next, 0 where it has no readers, and the issue to open, or {}.
-- A group that another process has moved already is left as it is, and so is one that got its first reader meanwhile.
register('open_due_groups', function(_, a)
  local p, schedule = a.prefix, a.prefix .. 'newsletter_schedule'
  for _, group in ipairs(a.groups) do
    if tonumber(redis.call('ZSCORE', schedule, group.member)) == group.before then
      if group.issue.id then open_issue(p, group.issue) end
      if group.after > 0 then
        redis.call('ZADD', schedule, group.after, group.member)
      elseif redis.call('EXISTS', p .. 'newsletter_audience:' .. group.member) == 0 then
        redis.call('ZREM', schedule, group.member)
      end
    end
  end
end)

local function plan_mail(p, issue, subscriber, address, from, to, due)
  local mails = p .. 'newsletter_issue_mails:' .. issue.id
  if redis.call('HSETNX', mails, subscriber, table.concat({'planned', 0, 0, from, to}, '|')) == 0 then return 0 end
  redis.call('PEXPIRE', mails, KEEP_MS)
  enqueue_mail(p, issue.priority, domain_of(address), issue.id .. '|' .. subscriber, due)
  redis.call('HINCRBY', p .. 'newsletter_issue:' .. issue.id, 'planned', 1)
  note_progress(p, issue.id, issue.kind)
  return 1
end

-- Plans one mail of an issue. Arguments: {issue, subscriber, due}. Returns 1 where it is new.
register('plan_mail', function(_, a)
  local p = a.prefix
  local issue = record_of(p .. 'newsletter_issue:' .. a.issue)
  if not issue.id then return 0 end
  return plan_mail(p, issue, a.subscriber, address_of(p, a.subscriber), 0, 0, a.due)
end)

-- Counts what a reader did after a mail. Arguments: {issue, name}.
register('count_for_issue', function(_, a)
  local key = a.prefix .. 'newsletter_issue:' .. a.issue
  if redis.call('EXISTS', key) == 1 then redis.call('HINCRBY', key, a.name, 1) end
end)
