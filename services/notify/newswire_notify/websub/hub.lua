-- Atomic steps of the WebSub hub. `p` is the prefix of all keys; times are ms since the epoch.
-- Arguments are named: each comment lists their names.

-- Queues every topic that has subscriptions; an earlier time that is set already stays. Arguments: {due}. Returns how many there are.
register('mark_all_topics', function(_, a)
  local p = a.prefix
  local due, topics = string.format('%.0f', a.due), redis.call('SMEMBERS', p .. 'hub:topics')
  for _, topic in ipairs(topics) do redis.call('ZADD', p .. 'hub:changed', 'LT', due, topic) end
  return #topics
end)

-- Claims a queued topic, unless another process has claimed it; `own`: this process has claimed it before. Arguments: {topic, own,
-- now, ends}. Returns false, or whether it has subscriptions, and the ETag of the content that all of them were sent ('' if unknown).
register('claim_topic', function(_, a)
  local p = a.prefix
  local claimed = redis.call('ZSCORE', p .. 'hub:claimed', a.topic)
  if claimed and not a.own and tonumber(claimed) > a.now then return false end
  if redis.call('ZREM', p .. 'hub:changed', a.topic) == 0 then return false end
  redis.call('ZADD', p .. 'hub:claimed', string.format('%.0f', a.ends), a.topic)
  return {redis.call('SISMEMBER', p .. 'hub:topics', a.topic), redis.call('HGET', p .. 'hub:etags', a.topic) or ''}
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
