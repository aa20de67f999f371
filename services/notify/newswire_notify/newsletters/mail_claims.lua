-- The queue of mails. Builds on newsletters.lua and mails.lua. Each receiving domain has queues of its own, one for each priority; the
-- limits of domains are decided in receiving_domains.py. A claim is a lease, and its attempt number the token that settling checks: who
-- lost the lease changes nothing.

-- Domains that one claim looks at for each priority.
local MAX_DOMAINS = 100
-- When a domain is looked at again whose mails in flight use up its limit, in ms.
local RECHECK_MS = 50
local DAY_KEEP_MS = 3 * 86400000

-- Moves mails that an earlier version queued without domains. A claim of that version ends with its lease.
local function adopt_old_queue(p, priority)
  local old = p .. 'newsletter_queue:' .. priority
  local found = redis.call('ZRANGE', old, 0, 199, 'WITHSCORES')
  for at = 1, #found, 2 do
    local subscriber = string.match(found[at], '|([^|]*)$')
    enqueue_mail(p, priority, domain_of(address_of(p, subscriber)), found[at], tonumber(found[at + 1]))
    redis.call('ZREM', old, found[at])
  end
end

-- Returns how many mails a domain may get now, and 0 with the time at which to look again.
local function allowance(p, domain, a)
  local now = a.now
  local level, paused_until = string.match(redis.call('HGET', p .. 'newsletter_slowed', domain) or '0|0', '^(%d+)|(%d+)$')
  level = tonumber(level)
  if tonumber(paused_until) > now then return 0, tonumber(paused_until), level end
  local holders = p .. 'newsletter_domain_connections:' .. domain
  redis.call('ZREMRANGEBYSCORE', holders, '-inf', now)
  local held = redis.call('ZCARD', holders)
  local most = level > 0 and 1 or a.per_domain
  if held >= most and (level > 0 or not redis.call('ZSCORE', holders, a.connection)) then return 0, now + RECHECK_MS, level end
  local rate = a.rates[domain] or a.default_rate
  local allowed = level > 0 and 1 or a.limit
  if rate.count > 0 then
    local sent = p .. 'newsletter_domain_sent:' .. domain
    redis.call('ZREMRANGEBYSCORE', sent, '-inf', string.format('(%.0f', now - rate.window))
    local count = redis.call('ZCARD', sent)
    if count >= rate.count then
      local oldest = tonumber(redis.call('ZRANGE', sent, 0, 0, 'WITHSCORES')[2])
      -- Mails in flight have the end of their lease as score; most of them are settled much earlier.
      return 0, oldest > now and now + RECHECK_MS or oldest + rate.window + 1, level
    end
    allowed = math.min(allowed, rate.count - count)
  end
  return allowed, 0, level
end

local function claim_mail(p, member, domain, level, a)
  local issue, subscriber = string.match(member, '^(.*)|([^|]*)$')
  local mails = p .. 'newsletter_issue_mails:' .. issue
  local stored = redis.call('HGET', mails, subscriber)
  if not stored then return nil end
  local mail = split(stored, '|')
  -- A process of an earlier version may have settled it, which knows nothing of this queue.
  if mail[1] ~= 'planned' and mail[1] ~= 'deferred' and mail[1] ~= 'sending' then return nil end
  local repeated = mail[1] == 'sending' and 1 or 0
  mail[1], mail[2] = 'sending', tostring(tonumber(mail[2]) + 1)
  if mail[3] == '0' then mail[3] = string.format('%.0f', a.now) end
  redis.call('HSET', mails, subscriber, table.concat(mail, '|'))
  return {issue, subscriber, mail[2], mail[3], mail[4], mail[5], repeated, domain, level, a.day}
end

-- Claims mails to a domain, and notes when it is next due.
local function claim_from(p, priority, domain, a, claimed)
  local due, queue = p .. 'newsletter_domains_due:' .. priority, p .. 'newsletter_due:' .. priority .. ':' .. domain
  local allowed, later, level = allowance(p, domain, a)
  if allowed == 0 then
    redis.call('ZADD', due, later, domain)
    return
  end
  local rate, ends, taken = a.rates[domain] or a.default_rate, a.now + a.lease, 0
  local sent = p .. 'newsletter_domain_sent:' .. domain
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', queue, '-inf', a.now, 'LIMIT', 0, math.min(allowed, a.left))) do
    local mail = claim_mail(p, member, domain, level, a)
    if mail then
      redis.call('ZADD', queue, ends, member)
      if rate.count > 0 then redis.call('ZADD', sent, ends, member .. '|' .. mail[3]) end
      claimed[#claimed + 1] = mail
      taken = taken + 1
    else
      redis.call('ZREM', queue, member)
    end
  end
  if taken > 0 then
    a.left = a.left - taken
    redis.call('ZADD', p .. 'newsletter_domain_connections:' .. domain, ends, a.connection)
    redis.call('PEXPIRE', p .. 'newsletter_domain_connections:' .. domain, a.lease)
    if rate.count > 0 then redis.call('PEXPIRE', sent, a.lease + rate.window) end
  end
  local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
  if first then redis.call('ZADD', due, first, domain) else redis.call('ZREM', due, domain) end
end

-- Claims mails for one connection, and returns them, and whether any domain was due.
local function claim_for(p, a)
  local claimed, any_due = {}, false
  local day = p .. 'newsletter_sent_on:' .. a.day
  a.left = a.limit
  for _, priority in ipairs(PRIORITIES) do
    -- A warm-up holds back alerts and digests: who signs up waits for the confirmation.
    if a.day ~= '' and priority ~= '0' then
      a.room = math.max(0, a.day_limit - tonumber(redis.call('GET', day) or 0) - #claimed)
      a.left = math.min(a.left, a.room)
    end
    local domains = redis.call('ZRANGEBYSCORE', p .. 'newsletter_domains_due:' .. priority, '-inf', a.now, 'LIMIT', 0, MAX_DOMAINS)
    any_due = any_due or #domains > 0
    for _, domain in ipairs(domains) do
      if a.left <= 0 then break end
      claim_from(p, priority, domain, a, claimed)
    end
  end
  if a.day ~= '' and #claimed > 0 then
    redis.call('INCRBY', day, #claimed)
    redis.call('PEXPIRE', day, DAY_KEEP_MS)
  end
  return claimed, any_due
end

-- Returns the ms until more mails may be due, or -1 where none waits.
local function next_due(p, a)
  local wait = -1
  for _, priority in ipairs(PRIORITIES) do
    local first = redis.call('ZRANGE', p .. 'newsletter_domains_due:' .. priority, 0, 0, 'WITHSCORES')[2]
    if first then
      local left = math.max(0, tonumber(first) - a.now)
      if priority ~= '0' and a.room == 0 then left = math.max(left, a.midnight - a.now) end
      if wait < 0 or left < wait then wait = left end
    end
  end
  return wait
end

-- Claims due mails for a lease, within the limits of their domains. Arguments: {connections: {name, limit} of each, now, lease, rates,
-- default_rate, per_domain: connections for each domain, day, day_limit, midnight}. Returns {the mails of each connection in turn, ms
-- until more may be due or -1, number of domains that are slowed}. A mail is {issue, subscriber, attempt, time of the first attempt,
-- sequence numbers of its items, whether an earlier attempt is in doubt, domain, how often in a row the domain refused the sender, day}.
register('claim_mails', function(_, a)
  local p, claimed = a.prefix, {}
  for _, priority in ipairs(PRIORITIES) do adopt_old_queue(p, priority) end
  for at, connection in ipairs(a.connections) do
    a.connection, a.limit = connection.name, connection.limit
    local mails, any_due = claim_for(p, a)
    claimed[at] = mails
    if not any_due then break end
  end
  return {claimed, next_due(p, a), redis.call('HLEN', p .. 'newsletter_slowed')}
end)

-- Records the result of an attempt. 'planned' gives a mail back that was not tried. What was not sent does not count for limits.
local function settle(p, result, now)
  local mails = p .. 'newsletter_issue_mails:' .. result.issue
  local stored = redis.call('HGET', mails, result.subscriber)
  if not stored then return end
  local mail = split(stored, '|')
  if mail[1] ~= 'sending' or tonumber(mail[2]) ~= result.attempt then return end
  mail[1] = result.state
  local key, member = p .. 'newsletter_issue:' .. result.issue, result.issue .. '|' .. result.subscriber
  local facts = redis.call('HMGET', key, 'priority', 'kind')
  local priority = facts[1] or '1'
  local sent = p .. 'newsletter_domain_sent:' .. result.domain
  if result.state == 'planned' or result.state == 'cancelled' or result.state == 'empty' then
    redis.call('ZREM', sent, member .. '|' .. mail[2])
    local day = p .. 'newsletter_sent_on:' .. result.day
    if redis.call('EXISTS', day) == 1 then redis.call('DECR', day) end
  else
    redis.call('ZADD', sent, 'XX', now, member .. '|' .. mail[2])
  end
  if result.state == 'planned' then
    mail[2] = tostring(result.attempt - 1)
    if result.attempt <= 1 then mail[3] = '0' end
  end
  if result.state == 'planned' or result.state == 'deferred' then
    enqueue_mail(p, priority, result.domain, member, result.due)
  else
    redis.call('ZREM', p .. 'newsletter_due:' .. priority .. ':' .. result.domain, member)
  end
  if result.state ~= 'planned' and facts[1] then
    redis.call('HINCRBY', key, result.state, 1)
    note_progress(p, result.issue, facts[2])
  end
  redis.call('HSET', mails, result.subscriber, table.concat(mail, '|'))
end

-- Slows a domain down, or ends that, unless another reply has changed it meanwhile.
local function change_domain(p, change, now)
  local slowed = p .. 'newsletter_slowed'
  local level = string.match(redis.call('HGET', slowed, change.domain) or '0|0', '^(%d+)|')
  if tonumber(level) ~= change.level then return end
  if change.new_level == 0 then
    redis.call('HDEL', slowed, change.domain)
  else
    redis.call('HSET', slowed, change.domain, string.format('%.0f|%.0f', change.new_level, now + change.pause))
  end
end

-- Records results. Arguments: {results, changes, released, now}: the results of attempts {issue, subscriber, attempt, state, due, domain,
-- day}, changes of domains {domain, level, new_level, pause}, and what connections have done with {connection, domain}.
register('settle_mails', function(_, a)
  local p = a.prefix
  for _, result in ipairs(a.results) do settle(p, result, a.now) end
  for _, change in ipairs(a.changes) do change_domain(p, change, a.now) end
  for _, done in ipairs(a.released) do
    redis.call('ZREM', p .. 'newsletter_domain_connections:' .. done.domain, done.connection)
  end
end)

-- Notes that a mail which was accepted came back later. Arguments: {issue, subscriber}. Each mail counts once.
register('bounce_mail', function(_, a)
  local p = a.prefix
  local mails, key = p .. 'newsletter_issue_mails:' .. a.issue, p .. 'newsletter_issue:' .. a.issue
  local rest = string.match(redis.call('HGET', mails, a.subscriber) or '', '^accepted(|.*)$')
  if not rest then return end
  redis.call('HSET', mails, a.subscriber, 'bounced' .. rest)
  local kind = redis.call('HGET', key, 'kind')
  if not kind then return end
  redis.call('HINCRBY', key, 'bounced', 1)
  redis.call('HINCRBY', key, 'returned', 1)
  note_progress(p, a.issue, kind)
end)

-- Takes the numbers of alerts whose mails have changed since they were last taken. Arguments: {limit, fields: names of counts}. Returns
-- for each {issue, newsletter, article, the counts in the order of `fields`}; issues that have expired are omitted.
register('take_mail_progress', function(_, a)
  local p, taken = a.prefix, {}
  for _, issue in ipairs(redis.call('SPOP', p .. 'newsletter_progressed', a.limit)) do
    local found = redis.call('HMGET', p .. 'newsletter_issue:' .. issue, 'newsletter', 'article', unpack(a.fields))
    if found[1] and found[2] then
      for at = 3, #found do found[at] = found[at] or '0' end
      taken[#taken + 1] = {issue, unpack(found)}
    end
  end
  return taken
end)

-- Reads what mails need of a subscriber: {newsletter, address, state, language, cadence, topics, 1 where the address is suppressed}, or
-- {} where there is none.
local function recipient(p, id, every)
  local key = p .. 'newsletter_subscriber:' .. id
  local values = redis.call('HMGET', key, 'newsletter', 'address', 'state', 'language', 'cadence', 'topics', 'address_hash')
  if not values[1] then return {} end
  local suppressed = 0
  for _, scope in ipairs({values[1], every}) do
    suppressed = suppressed + redis.call('HEXISTS', p .. 'newsletter_suppressed:' .. scope, values[7])
  end
  values[7] = suppressed > 0 and 1 or 0
  return values
end

-- Reads what mails need. Arguments: {issues, subscribers, every: the scope of addresses that no newsletter sends to}. Returns {the fields
-- of each issue, those of each newsletter of the issues, the `recipient` of each subscriber}.
register('read_mail_facts', function(_, a)
  local p, issues, newsletters, recipients, known = a.prefix, {}, {}, {}, {}
  for at, id in ipairs(a.issues) do
    issues[at] = redis.call('HGETALL', p .. 'newsletter_issue:' .. id)
    local newsletter = fields_of(issues[at]).newsletter
    if newsletter and not known[newsletter] then
      known[newsletter] = true
      newsletters[#newsletters + 1] = redis.call('HGETALL', p .. 'newsletter:' .. newsletter)
    end
  end
  for at, id in ipairs(a.subscribers) do recipients[at] = recipient(p, id, a.every) end
  return {issues, newsletters, recipients}
end, {'no-writes'})
