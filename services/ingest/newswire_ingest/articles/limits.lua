-- What may be published, and how fast.

-- Counts one new article more, unless there are as many as the quota allows ('0': any number, and nothing is counted); answers
-- whether it may be accepted. It writes: the last of all checks.
local function within_quota(counter, quota)
  if quota == '0' then return true end
  if tonumber(redis.call('GET', counter) or '0') >= tonumber(quota) then return false end
  if redis.call('INCR', counter) == 1 then redis.call('EXPIRE', counter, 172800) end
  return true
end

-- A token bucket by the generic cell rate algorithm: all that is kept is the time at which the bucket will be full again.
-- KEYS bucket, counter of the day; ARGV 1 now (ms), 2 requests in a window (0: any number), 3 window (ms)
-- Takes one token. Answers {whether it was there, how many are left, ms until it will be there or until the bucket is full, count of the day}
local function spend(keys, argv)
  local now, most, window = tonumber(argv[1]), tonumber(argv[2]), tonumber(argv[3])
  local counted = tonumber(redis.call('GET', keys[2]) or '0')
  if most == 0 then return {1, 0, 0, counted} end
  local each = window / most
  local full = math.max(tonumber(redis.call('GET', keys[1]) or '0'), now)
  local after = full + each
  if after - now > window + 0.001 then
    return {0, math.floor((window - (full - now)) / each + 0.001), math.ceil(after - now - window), counted}
  end
  redis.call('SET', keys[1], string.format('%.3f', after), 'PX', math.ceil(after - now))
  return {1, math.floor((window - (after - now)) / each + 0.001), math.ceil(after - now), counted}
end

register('spend', spend)
