-- The publishing rate of an API key, and the daily quota of an account.

-- Counts a new article unless the quota is used up ('0': no quota, and nothing is counted). Returns whether the article is accepted.
-- It writes, so it must be the last of all checks.
local function within_quota(counter, quota)
  if quota == '0' then return true end
  if tonumber(redis.call('GET', counter) or '0') >= tonumber(quota) then return false end
  if redis.call('INCR', counter) == 1 then redis.call('EXPIRE', counter, 172800) end
  return true
end

-- Takes one token from a token bucket. By the generic cell rate algorithm, only the time at which the bucket is full is stored.
-- KEYS bucket, counter of the day; arguments: now (ms), requests in a window (0: unlimited), window (ms)
-- Returns {whether there was a token, tokens left, ms until the next token or until the bucket is full, counter of the day}
local function spend(keys, args)
  local now, most, window = args.now, args.requests, args.window
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
