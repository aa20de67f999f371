-- Whether a caller may not write any more, by its record: an API key that is revoked or expired; a user, or an account that stands for a
-- user of it, that is disabled or deleted. Users and accounts have a name, keys have none. `now` is in ms. '' may write: the command line
-- needs no key, and what was admitted before is completed.
local function caller_is_barred(record, now)
  if record == '' then return false end
  local hash, expires, name, disabled = unpack(redis.call('HMGET', record, 'hash', 'expires', 'name', 'disabled_at'))
  if name then return disabled ~= false end
  return not hash or (expires and tonumber(expires) <= tonumber(now))
end
