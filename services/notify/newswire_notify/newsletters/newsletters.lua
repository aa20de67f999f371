-- Atomic steps of newsletters and their subscribers. `p` is the prefix of all keys; times are ms since the epoch.

local function fields_of(list)
  local found = {}
  for at = 1, #list, 2 do found[list[at]] = list[at + 1] end
  return found
end

local function record_of(key)
  return fields_of(redis.call('HGETALL', key))
end

local function note_change(p)
  redis.call('INCR', p .. 'newsletters_changed')
end

-- Arguments are named: each comment lists their names.

-- Creates a newsletter. Arguments: {id, account, slug, document, active, now, limit}. Returns 'SLUG' where the slug was ever taken,
-- 'LIMIT' where the account has as many as it may.
register('create_newsletter', function(_, a)
  local p = a.prefix
  if redis.call('HEXISTS', p .. 'newsletter_slugs', a.slug) == 1 then return 'SLUG' end
  if redis.call('ZCARD', p .. 'newsletters:' .. a.account) >= a.limit then return 'LIMIT' end
  redis.call('HSET', p .. 'newsletter_slugs', a.slug, a.id)
  redis.call('HSET', p .. 'newsletter:' .. a.id, 'id', a.id, 'account', a.account, 'slug', a.slug, 'document', a.document,
    'status', a.active and 'active' or 'paused', 'revision', 1, 'created', string.format('%.0f', a.now), 'schema', 1)
  redis.call('ZADD', p .. 'newsletters:' .. a.account, a.now, a.id)
  if a.active then redis.call('SADD', p .. 'newsletters_active', a.id) end
  note_change(p)
  return 'OK'
end)

-- Replaces the document of a newsletter. Arguments: {id, revision, document, active}. Returns 'STALE' after a concurrent change.
register('update_newsletter', function(_, a)
  local p = a.prefix
  local key = p .. 'newsletter:' .. a.id
  local found = redis.call('HMGET', key, 'revision', 'status')
  if not found[1] or found[1] ~= a.revision or found[2] == 'deleted' then return 'STALE' end
  redis.call('HSET', key, 'document', a.document, 'status', a.active and 'active' or 'paused')
  redis.call('HINCRBY', key, 'revision', 1)
  redis.call(a.active and 'SADD' or 'SREM', p .. 'newsletters_active', a.id)
  note_change(p)
  return 'OK'
end)

-- Deletes a newsletter: nothing is sent any more, its slug stays taken, and its subscribers are to be erased. Arguments: {id, account}.
register('delete_newsletter', function(_, a)
  local p = a.prefix
  local key = p .. 'newsletter:' .. a.id
  local found = redis.call('HMGET', key, 'account', 'status')
  if found[1] ~= a.account or found[2] == 'deleted' then return 0 end
  redis.call('HSET', key, 'status', 'deleted')
  redis.call('ZREM', p .. 'newsletters:' .. a.account, a.id)
  redis.call('SREM', p .. 'newsletters_active', a.id)
  redis.call('SADD', p .. 'newsletters_deleted', a.id)
  for _, kept in ipairs({'newsletter_items:', 'newsletter_item_topics:', 'newsletter_corrections:'}) do
    redis.call('DEL', p .. kept .. a.id)
  end
  note_change(p)
  return 1
end)

local function count_state(p, newsletter, state, by)
  redis.call('HINCRBY', p .. 'newsletter_counts:' .. newsletter, state, by)
end

-- Puts a subscriber into the audience of its group, or takes it out of one, as its record says. `upcoming`, where it is given, is when
-- digests of a group are due next: {group, due, now}. It is noted in the same step, so that no group with readers is without it.
local function place(p, subscriber, found, upcoming)
  local wanted = ''
  if found.state == 'active' then wanted = found.newsletter .. '|' .. found.group end
  local current = found.audience or ''
  if wanted == current then return end
  if current ~= '' then
    redis.call('ZREM', p .. 'newsletter_audience:' .. current, subscriber)
  end
  if wanted ~= '' then
    redis.call('ZADD', p .. 'newsletter_audience:' .. wanted, 0, subscriber)
    if upcoming and found.group ~= 'instant' then
      -- The group can have been changed since the caller read it; then its time is looked up at once.
      local due = upcoming.group == found.group and upcoming.due or upcoming.now
      redis.call('ZADD', p .. 'newsletter_schedule', 'NX', string.format('%.0f', due), wanted)
    end
  end
  redis.call('HSET', p .. 'newsletter_subscriber:' .. subscriber, 'audience', wanted)
end

-- Creates a subscriber unless the address has one. Arguments: {id, newsletter, hash, fields, now, upcoming (optional)}. Returns the id of
-- the subscriber that the address has.
register('add_subscriber', function(_, a)
  local p = a.prefix
  local addresses = p .. 'newsletter_addresses:' .. a.newsletter
  local known = redis.call('HGET', addresses, a.hash)
  if known then return known end
  redis.call('HSET', addresses, a.hash, a.id)
  redis.call('ZADD', p .. 'newsletter_members:' .. a.newsletter, a.now, a.id)
  local key = p .. 'newsletter_subscriber:' .. a.id
  for name, value in pairs(a.fields) do redis.call('HSET', key, name, value) end
  redis.call('HSET', key, 'revision', 1)
  count_state(p, a.newsletter, a.fields.state, 1)
  local found = record_of(key)
  if found.state == 'active' then
    redis.call('HSET', key, 'seq', redis.call('HGET', p .. 'newsletter_seq', a.newsletter) or 0)
  end
  place(p, a.id, found, a.upcoming)
  return a.id
end)

-- Changes fields of a subscriber; it stays where the record does not exist or is in none of the states that the change is for.
-- Arguments: {id, fields, from, upcoming (optional)}. Returns the state before, or false.
register('change_subscriber', function(_, a)
  local p = a.prefix
  local key = p .. 'newsletter_subscriber:' .. a.id
  local found = record_of(key)
  if not found.state then return false end
  if a.from ~= '' and not string.find(a.from, '|' .. found.state .. '|', 1, true) then return false end
  local before, group = found.state, found.group
  for name, value in pairs(a.fields) do
    redis.call('HSET', key, name, value)
    found[name] = value
  end
  if before ~= found.state then
    count_state(p, found.newsletter, before, -1)
    count_state(p, found.newsletter, found.state, 1)
  end
  -- A subscriber who becomes active, or got alerts before, gets digests of what matches from now on.
  if (before ~= 'active' and found.state == 'active') or (group == 'instant' and found.group ~= 'instant') then
    redis.call('HSET', key, 'seq', redis.call('HGET', p .. 'newsletter_seq', found.newsletter) or 0)
  end
  redis.call('HINCRBY', key, 'revision', 1)
  place(p, a.id, found, a.upcoming)
  return before
end)

local function erase_subscriber(p, id)
  local key = p .. 'newsletter_subscriber:' .. id
  local found = record_of(key)
  if not found.state then return false end
  count_state(p, found.newsletter, found.state, -1)
  if (found.audience or '') ~= '' then redis.call('ZREM', p .. 'newsletter_audience:' .. found.audience, id) end
  redis.call('HDEL', p .. 'newsletter_addresses:' .. found.newsletter, found.address_hash)
  redis.call('ZREM', p .. 'newsletter_members:' .. found.newsletter, id)
  redis.call('ZREM', p .. 'newsletter_reminders', id)
  redis.call('ZREM', p .. 'newsletter_expiring', id)
  redis.call('DEL', key, p .. 'newsletter_soft_bounces:' .. id)
  return found.newsletter
end

-- Deletes everything that is stored of a subscriber. Arguments: {id}. Returns the newsletter, or false.
register('erase_subscriber', function(_, a) return erase_subscriber(a.prefix, a.id) end)

-- Erases a part of what a deleted newsletter has left: its issues with their mails, then its subscribers. Mails that are queued find
-- no state, and leave the queue when they are due. Arguments: {newsletter, limit}. Returns how many were erased, 0 where all are.
register('erase_deleted', function(_, a)
  local p = a.prefix
  local issues, members = p .. 'newsletter_issues:' .. a.newsletter, p .. 'newsletter_members:' .. a.newsletter
  local found = redis.call('ZRANGE', issues, 0, a.limit - 1)
  for _, id in ipairs(found) do
    redis.call('UNLINK', p .. 'newsletter_issue:' .. id, p .. 'newsletter_issue_mails:' .. id)
    redis.call('ZREM', p .. 'newsletter_expanding', id)
    redis.call('SREM', p .. 'newsletter_progressed', id)
    redis.call('ZREM', issues, id)
  end
  if #found > 0 then return #found end
  found = redis.call('ZRANGE', members, 0, a.limit - 1)
  for _, id in ipairs(found) do
    if not erase_subscriber(p, id) then redis.call('ZREM', members, id) end
  end
  if #found > 0 then return #found end
  redis.call('HDEL', p .. 'newsletter_seq', a.newsletter)
  redis.call('DEL', p .. 'newsletter_counts:' .. a.newsletter)
  redis.call('SREM', p .. 'newsletters_deleted', a.newsletter)
  return 0
end)

-- The keys of a backup are read one after the other: the number can be older than what was numbered by it. Later items would get numbers
-- that readers have had already.
local function raise_seq(p, newsletter, least)
  local seq = redis.call('HGET', p .. 'newsletter_seq', newsletter)
  if tonumber(least or 0) > tonumber(seq or 0) then redis.call('HSET', p .. 'newsletter_seq', newsletter, least) end
end

-- Puts a restored subscriber where its record says, or deletes it: where it was erased after its creation, where its address has another
-- record, or where its newsletter does not exist. Arguments: {id, expires, upcoming (optional)}: `expires`: when one who is not
-- subscribed is erased, unless that is known. Returns whether it stays.
register('attach_subscriber', function(_, a)
  local p = a.prefix
  local key = p .. 'newsletter_subscriber:' .. a.id
  local found = record_of(key)
  local note = found.newsletter and redis.call('HGET', p .. 'newsletter_suppressed:' .. found.newsletter, found.address_hash)
  note = note and cjson.decode(note) or {}
  local erased = note.reason == 'erased' and note.at >= tonumber(found.created)
  if not found.state or not found.newsletter or erased or redis.call('EXISTS', p .. 'newsletter:' .. found.newsletter) == 0
    or redis.call('HSETNX', p .. 'newsletter_addresses:' .. found.newsletter, found.address_hash, a.id) == 0 then
    redis.call('DEL', key, p .. 'newsletter_soft_bounces:' .. a.id)
    redis.call('ZREM', p .. 'newsletter_reminders', a.id)
    redis.call('ZREM', p .. 'newsletter_expiring', a.id)
    return 0
  end
  redis.call('ZADD', p .. 'newsletter_members:' .. found.newsletter, found.created, a.id)
  count_state(p, found.newsletter, found.state, 1)
  if found.state == 'pending' or found.state == 'unsubscribed' then
    redis.call('ZADD', p .. 'newsletter_expiring', 'NX', string.format('%.0f', a.expires), a.id)
  end
  found.audience = ''
  place(p, a.id, found, a.upcoming)
  raise_seq(p, found.newsletter, found.seq)
  return 1
end)

-- Raises the sequence number of a restored newsletter to that of its newest item. Arguments: {newsletter}.
register('restore_seq', function(_, a)
  local p = a.prefix
  for _, family in ipairs({'newsletter_items:', 'newsletter_corrections:'}) do
    raise_seq(p, a.newsletter, redis.call('ZRANGE', p .. family .. a.newsletter, -1, -1, 'WITHSCORES')[2])
  end
end)
