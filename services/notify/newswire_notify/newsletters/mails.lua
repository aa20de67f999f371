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

local function split(text, separator)
  local found = {}
  for part in string.gmatch(text .. separator, '(.-)' .. separator) do found[#found + 1] = part end
  return found
end

-- Notes that an article matches a newsletter. Arguments: {newsletter, article, topics, now, corrected}. Returns the sequence number.
register('add_item', function(_, a)
  local p = a.prefix
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

-- Forgets a retracted article. Arguments: {newsletter, article}.
register('remove_item', function(_, a)
  local p = a.prefix
  redis.call('HDEL', p .. 'newsletter_item_topics:' .. a.newsletter, a.article)
  redis.call('ZREM', p .. 'newsletter_corrections:' .. a.newsletter, a.article)
  return redis.call('ZREM', p .. 'newsletter_items:' .. a.newsletter, a.article)
end)

-- Opens an issue, once. Arguments: {id, newsletter, kind, audience, priority, now, due, fields}. An issue whose audience is '' gets
-- its mails one by one. Returns 1 where it is new.
register('open_issue', function(_, a)
  local p = a.prefix
  local key = p .. 'newsletter_issue:' .. a.id
  if redis.call('EXISTS', key) == 1 then return 0 end
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
end)

local function plan_mail(p, issue, subscriber, address, from, to, due)
  local mails = p .. 'newsletter_issue_mails:' .. issue.id
  if redis.call('HSETNX', mails, subscriber, table.concat({'planned', 0, 0, from, to}, '|')) == 0 then return 0 end
  redis.call('PEXPIRE', mails, KEEP_MS)
  enqueue_mail(p, issue.priority, domain_of(address), issue.id .. '|' .. subscriber, due)
  redis.call('HINCRBY', p .. 'newsletter_issue:' .. issue.id, 'planned', 1)
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

-- Whether a subscriber chose one of the topics of an article, or all.
local function chose(chosen, topics)
  if chosen == '[]' then return true end
  for _, topic in ipairs(cjson.decode(chosen)) do
    if topics[topic] then return true end
  end
  return false
end

-- Whether a digest for a local date may follow the last one of a subscriber.
local function digest_may_follow(found, issue, min_interval)
  if (found.last_date or '') >= issue.local_date then return false end
  return not found.last_at or tonumber(issue.due) - tonumber(found.last_at) >= min_interval
end

-- Plans the next mails of an issue. Arguments: {issue, limit, now, min_interval, jitter}. Returns how many subscribers are left, at
-- least 1 where there may be some.
register('expand_issue', function(_, a)
  local p = a.prefix
  local key = p .. 'newsletter_issue:' .. a.issue
  local issue = record_of(key)
  if not issue.id then
    redis.call('ZREM', p .. 'newsletter_expanding', a.issue)
    return 0
  end
  local topics = {}
  for _, topic in ipairs(cjson.decode(issue.topics or '[]')) do topics[topic] = true end
  local start = issue.cursor == '' and '-' or '(' .. issue.cursor
  local chunk = redis.call('ZRANGEBYLEX', p .. 'newsletter_audience:' .. issue.audience, start, '+', 'LIMIT', 0, a.limit)
  for _, subscriber in ipairs(chunk) do
    local subscriber_key = p .. 'newsletter_subscriber:' .. subscriber
    local values = redis.call('HMGET', subscriber_key, 'topics', 'paused_until', 'last_date', 'last_at', 'seq', 'address')
    local found = {topics = values[1], paused_until = values[2], last_date = values[3], last_at = values[4], seq = values[5],
      address = values[6]}
    local paused = found.paused_until and found.paused_until ~= '' and tonumber(found.paused_until) > a.now
    if found.topics and not paused then
      if issue.kind == 'alert' then
        if chose(found.topics, topics) then plan_mail(p, issue, subscriber, found.address, 0, 0, a.now) end
      elseif digest_may_follow(found, issue, a.min_interval) then
        local spread = a.jitter > 0 and tonumber(string.sub(redis.sha1hex(subscriber), 1, 6), 16) % a.jitter or 0
        -- The date and the cut are written with the plan: never twice for one local date, and no item twice or never.
        redis.call('HSET', subscriber_key, 'last_date', issue.local_date, 'last_at', string.format('%.0f', a.now), 'seq', issue.to)
        plan_mail(p, issue, subscriber, found.address, found.seq or 0, issue.to, a.now + spread)
      end
    end
  end
  if #chunk < a.limit then
    redis.call('ZREM', p .. 'newsletter_expanding', a.issue)
    redis.call('HSET', key, 'expanded', '1')
    return 0
  end
  redis.call('HSET', key, 'cursor', chunk[#chunk])
  return 1
end)
