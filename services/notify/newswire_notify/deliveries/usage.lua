-- The usage of an account by its subscriptions; limits are checked against it in the step that writes. The hash `usage:{account}` holds
-- `size`: the bytes that its subscriptions consist of, with a surcharge for each value of a filter; `url|...`: the number of
-- subscriptions that deliver to a URL; and `host|...`: the number of such URLs of a host. It is built from the records where it is
-- missing; whatever changes records in another way deletes it.

local COUNTED = {'filter', 'labels', 'url', 'headers'}
-- Memory of a short filter value beyond its bytes: in a matcher each value is a key of its own.
local VALUE_BYTES = 64

-- The host of a URL, without its port and without a trailing dot.
local function host_of(url)
  local authority = string.match(url, '^[^/?#]*//([^/?#]*)') or ''
  local host = string.gsub(string.lower(authority), ':%d*$', '')
  return (string.gsub(host, '%.$', ''))
end

-- The usage of one subscription, from its fields; unset ones are nil or false.
local function footprint(fields)
  local bytes = 0
  for _, name in ipairs(COUNTED) do bytes = bytes + #(fields[name] or '') end
  local _, quotes = string.gsub(fields.filter or '', '"', '')
  return {size = bytes + VALUE_BYTES * math.ceil(quotes / 2), url = fields.url or ''}
end

local function stored_footprint(p, id)
  local fields = {}
  for at, value in ipairs(redis.call('HMGET', p .. 'subscription:' .. id, unpack(COUNTED))) do fields[COUNTED[at]] = value end
  return footprint(fields)
end

local function url_field(url) return 'url|' .. redis.sha1hex(url) end

-- Adds the usage of a subscription to that of its account (`by` 1), or subtracts it (-1).
local function count_usage(usage, taken, by)
  redis.call('HINCRBY', usage, 'size', by * taken.size)
  local url, host = url_field(taken.url), 'host|' .. host_of(taken.url)
  local left = redis.call('HINCRBY', usage, url, by)
  if by > 0 and left == 1 then redis.call('HINCRBY', usage, host, 1) end
  if by < 0 and left <= 0 then
    redis.call('HDEL', usage, url)
    if redis.call('HINCRBY', usage, host, -1) <= 0 then redis.call('HDEL', usage, host) end
  end
end

-- Returns the key of an account's usage; builds it where it is missing.
local function usage_of(p, account)
  local usage = p .. 'usage:' .. account
  if redis.call('HEXISTS', usage, 'size') == 1 then return usage end
  redis.call('DEL', usage)
  for _, id in ipairs(redis.call('ZRANGE', p .. 'subscriptions:' .. account, 0, -1)) do
    count_usage(usage, stored_footprint(p, id), 1)
  end
  return usage
end

-- Returns the limit that a write would exceed: 'BYTES', 'URLS' or nil. `before` is the former usage of the subscription, nil for a new
-- one. A change that adds nothing is always allowed, even where the account exceeds a limit that was lowered.
local function limit_exceeded(usage, before, after, limits)
  local grown = after.size - (before and before.size or 0)
  local size = tonumber(redis.call('HGET', usage, 'size') or 0)
  if limits.bytes and grown > 0 and size + grown > limits.bytes then return 'BYTES' end
  if not limits.urls_per_host or redis.call('HEXISTS', usage, url_field(after.url)) == 1 then return nil end
  local host = host_of(after.url)
  local gives_up = before and host_of(before.url) == host and redis.call('HGET', usage, url_field(before.url)) == '1'
  local urls = tonumber(redis.call('HGET', usage, 'host|' .. host) or 0)
  if urls >= limits.urls_per_host and not gives_up then return 'URLS' end
  return nil
end
