-- KEYS checkpoint, retractions that are not indexed yet, last erasure, stream; arguments: group.
-- Returns what a process needs to know about the index before each answer: the values of the first three keys, and 1 if the group
-- has read events that it has not handled yet.
register('index_state', function(keys, args)
  local pending = redis.pcall('XPENDING', keys[4], args.group)
  local is_missing = pending.err and string.find(pending.err, '^NOGROUP')
  if pending.err and not is_missing then return pending end
  return {
    redis.call('GET', keys[1]),
    redis.call('ZCARD', keys[2]),
    redis.call('GET', keys[3]),
    not is_missing and pending[1] > 0 and 1 or 0,
  }
end, {'no-writes'})
