-- Atomic steps of the WebSub hub. `p` is the prefix of all keys; times are ms since the epoch.
-- Arguments are named: each comment lists their names.

local function set_of(list)
  local set = {}
  for _, each in ipairs(list) do set[each] = true end
  return set
end

-- Queues again the topics whose claims have ended. Their process may have pushed to some, so the ETag of what all have is unknown.
local function queue_abandoned(p, now, own, skip)
  for _, topic in ipairs(redis.call('ZRANGEBYSCORE', p .. 'hub:claimed', '-inf', now)) do
    if not own[topic] and not skip[topic] then
      redis.call('ZREM', p .. 'hub:claimed', topic)
      redis.call('HDEL', p .. 'hub:etags', topic)
      redis.call('ZADD', p .. 'hub:changed', 'LT', now, topic)
    end
  end
end

-- Claims topics that are due, the longest waiting first, and none that another process has claimed. Arguments: {mark_all, own, skip,
-- limit, now, ends}. `mark_all`: first queue every topic that has subscriptions. `own`: topics that this process has claimed and may
-- claim again; `skip`: those that it does not claim now. Returns the claimed topics, each with whether it has subscriptions and the
-- ETag of the content that all of them were sent ('' if unknown); and those skipped that are due.
register('claim_topics', function(_, a)
  local p, now, ends = a.prefix, string.format('%.0f', a.now), string.format('%.0f', a.ends)
  local own, skip = set_of(a.own), set_of(a.skip)
  if a.mark_all then
    for _, topic in ipairs(redis.call('SMEMBERS', p .. 'hub:topics')) do
      redis.call('ZADD', p .. 'hub:changed', 'LT', now, topic)
    end
  end
  queue_abandoned(p, now, own, skip)
  local claimed, skipped = {}, {}
  for _, topic in ipairs(redis.call('ZRANGEBYSCORE', p .. 'hub:changed', '-inf', now)) do
    if skip[topic] then
      table.insert(skipped, topic)
    elseif #claimed < a.limit and (own[topic] or not redis.call('ZSCORE', p .. 'hub:claimed', topic)) then
      redis.call('ZREM', p .. 'hub:changed', topic)
      redis.call('ZADD', p .. 'hub:claimed', ends, topic)
      local etag = redis.call('HGET', p .. 'hub:etags', topic) or ''
      table.insert(claimed, {topic, redis.call('SISMEMBER', p .. 'hub:topics', topic), etag})
    end
  end
  return {claimed, skipped}
end)

-- Ends a claim. Arguments: {topic, etag}. `etag`: of the content that all subscriptions were sent, or false to keep what is stored.
register('release_topic', function(_, a)
  local p = a.prefix
  if a.etag and redis.call('SISMEMBER', p .. 'hub:topics', a.topic) == 1 then
    redis.call('HSET', p .. 'hub:etags', a.topic, a.etag)
  end
  redis.call('ZREM', p .. 'hub:claimed', a.topic)
end)

-- Removes a subscription, and what is kept of its topic if it was the last one. Arguments: {topic, callback, digest, host, lapsed_by}.
-- `digest`: of the topic; `lapsed_by`: the time in seconds by which its lease must have ended, or false. Returns whether it was there.
register('remove_subscription', function(_, a)
  local p = a.prefix
  local leases, member = p .. 'hub:leases', a.topic .. ' ' .. a.callback
  local ends = redis.call('ZSCORE', leases, member)
  if a.lapsed_by and (not ends or tonumber(ends) > a.lapsed_by) then return 0 end
  local subscriptions = p .. 'hub:topic:' .. a.digest
  local removed = redis.call('HDEL', subscriptions, a.callback)
  redis.call('ZREM', leases, member)
  redis.call('SREM', p .. 'hub:host:' .. a.host, member)
  if redis.call('EXISTS', subscriptions) == 0 then
    redis.call('SREM', p .. 'hub:topics', a.topic)
    redis.call('HDEL', p .. 'hub:etags', a.topic)
    redis.call('ZREM', p .. 'hub:changed', a.topic)
  end
  return removed
end)
