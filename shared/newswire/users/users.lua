-- Users, their sessions, and one-time links. A user's record is changed by compare-and-set on its field `revision`.

-- KEYS user, ids of all users, e-mail addresses, then one set of users per account
-- Arguments: id, email (folded), fields. Returns 1, or 0 if another user has the address.
local function create_user(keys, args)
  if redis.call('HSETNX', keys[3], args.email, args.id) == 0 then return 0 end
  redis.call('HSET', keys[1], unpack(flat(args.fields)))
  redis.call('ZADD', keys[2], 0, args.id)
  for at = 4, #keys do redis.call('ZADD', keys[at], 0, args.id) end
  return 1
end

-- KEYS user, e-mail addresses; arguments: id, revision (the expected one), fields to set ('' removes one), email and new_email
-- (folded), account_prefix, joined and left (names of accounts). Returns OK | MISSING | CHANGED | TAKEN
local function update_user(keys, args)
  local revision = redis.call('HGET', keys[1], 'revision')
  if not revision then return 'MISSING' end
  if revision ~= args.revision then return 'CHANGED' end
  if args.new_email and args.new_email ~= args.email then
    if redis.call('HSETNX', keys[2], args.new_email, args.id) == 0 then return 'TAKEN' end
    redis.call('HDEL', keys[2], args.email)
  end
  for name, value in pairs(args.fields) do
    if value == '' then redis.call('HDEL', keys[1], name) else redis.call('HSET', keys[1], name, value) end
  end
  redis.call('HINCRBY', keys[1], 'revision', 1)
  for _, account in ipairs(args.joined) do redis.call('ZADD', args.account_prefix .. account, 0, args.id) end
  for _, account in ipairs(args.left) do redis.call('ZREM', args.account_prefix .. account, args.id) end
  return 'OK'
end

-- KEYS user, ids of all users, e-mail addresses, the user's sessions, passkeys and identities, all identities; arguments: id, email
-- (folded), account_prefix, session_prefix, accounts. Returns whether there was such a user.
local function delete_user(keys, args)
  if redis.call('DEL', keys[1]) == 0 then return 0 end
  redis.call('ZREM', keys[2], args.id)
  redis.call('HDEL', keys[3], args.email)
  for _, session in ipairs(redis.call('ZRANGE', keys[4], 0, -1)) do redis.call('DEL', args.session_prefix .. session) end
  for _, identity in ipairs(redis.call('HVALS', keys[6])) do redis.call('HDEL', keys[7], cjson.decode(identity).digest) end
  redis.call('DEL', keys[4], keys[5], keys[6])
  for _, account in ipairs(args.accounts) do redis.call('ZREM', args.account_prefix .. account, args.id) end
  return 1
end

-- KEYS session, the user's sessions, user; arguments: id, fields, now and ends (ms), idle_seconds, max_sessions, session_prefix
local function start_session(keys, args)
  if redis.call('EXISTS', keys[3]) == 0 then return 0 end
  redis.call('HSET', keys[1], unpack(flat(args.fields)))
  redis.call('EXPIRE', keys[1], args.idle_seconds)
  redis.call('HSET', keys[3], 'last_sign_in', args.now)
  -- Sessions that expired by themselves leave the list here.
  for _, session in ipairs(redis.call('ZRANGE', keys[2], 0, -1)) do
    if redis.call('EXISTS', args.session_prefix .. session) == 0 then redis.call('ZREM', keys[2], session) end
  end
  redis.call('ZADD', keys[2], args.now, args.id)
  for _, session in ipairs(redis.call('ZRANGE', keys[2], 0, -args.max_sessions - 1)) do
    redis.call('DEL', args.session_prefix .. session)
    redis.call('ZREM', keys[2], session)
  end
  redis.call('PEXPIREAT', keys[2], args.ends)
  return 1
end

-- KEYS session; arguments: now (ms), idle_seconds, seen_interval (ms), user_prefix, account_prefix. Returns the fields of session and
-- user, and the user's disabled accounts; or false.
local function use_session(keys, args)
  local user, seen, ends = unpack(redis.call('HMGET', keys[1], 'user', 'seen', 'ends'))
  if not user or tonumber(ends) <= args.now or tonumber(seen) + args.idle_seconds * 1000 <= args.now then return false end
  local record = args.user_prefix .. user
  if redis.call('EXISTS', record) == 0 or redis.call('HEXISTS', record, 'disabled_at') == 1 then return false end
  if args.now - tonumber(seen) >= args.seen_interval then
    redis.call('HSET', keys[1], 'seen', string.format('%.0f', args.now))
    redis.call('EXPIRE', keys[1], args.idle_seconds)
  end
  local disabled = {}
  for account in pairs(cjson.decode(redis.call('HGET', record, 'memberships'))) do
    if redis.call('HEXISTS', args.account_prefix .. account, 'disabled_at') == 1 then disabled[#disabled + 1] = account end
  end
  return {redis.call('HGETALL', keys[1]), redis.call('HGETALL', record), disabled}
end

-- KEYS session; arguments: now (ms)
local function confirm_identity(keys, args)
  if redis.call('EXISTS', keys[1]) == 1 then redis.call('HSET', keys[1], 'authenticated', args.now) end
  return 1
end

-- KEYS session, the user's sessions; arguments: id, user. Returns whether the user had this session.
local function end_session(keys, args)
  if redis.call('HGET', keys[1], 'user') ~= args.user then return 0 end
  redis.call('ZREM', keys[2], args.id)
  return redis.call('DEL', keys[1])
end

-- KEYS the user's sessions; arguments: session_prefix, but (an id to keep, or ''). Returns how many ended.
local function end_sessions(keys, args)
  local ended = 0
  for _, session in ipairs(redis.call('ZRANGE', keys[1], 0, -1)) do
    if session ~= args.but then
      ended = ended + redis.call('DEL', args.session_prefix .. session)
      redis.call('ZREM', keys[1], session)
    end
  end
  return ended
end

-- KEYS counters; arguments: limits and seconds, one of each per counter. Counts a failure in each. Returns the counts.
local function count_failures(keys, args)
  local counts = {}
  for at, key in ipairs(keys) do
    counts[at] = redis.call('INCR', key)
    if counts[at] == 1 then redis.call('EXPIRE', key, args.seconds[at]) end
  end
  return counts
end

-- KEYS requests; arguments: request, now (ms), max. Returns whether there was room.
local function add_mail_request(keys, args)
  if redis.call('ZCARD', keys[1]) >= args.max then return 0 end
  return redis.call('ZADD', keys[1], args.now, args.request)
end

-- KEYS requests; arguments: now and lease (ms), limit. Returns requests that are due; each is due again after the lease.
local function claim_mail_requests(keys, args)
  local found = redis.call('ZRANGEBYSCORE', keys[1], '-inf', args.now, 'LIMIT', 0, args.limit)
  for _, request in ipairs(found) do redis.call('ZADD', keys[1], args.now + args.lease, request) end
  return found
end

-- KEYS user, the user's passkeys; arguments: id, passkey, max. Returns OK | MISSING (no such user) | TAKEN | FULL
local function add_passkey(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return 'MISSING' end
  if redis.call('HEXISTS', keys[2], args.id) == 1 then return 'TAKEN' end
  if redis.call('HLEN', keys[2]) >= args.max then return 'FULL' end
  redis.call('HSET', keys[2], args.id, args.passkey)
  return 'OK'
end

-- KEYS the user's passkeys; arguments: id, before and after (the stored passkey). Returns whether it was as before.
local function replace_passkey(keys, args)
  if redis.call('HGET', keys[1], args.id) ~= args.before then return 0 end
  redis.call('HSET', keys[1], args.id, args.after)
  return 1
end

-- Returns how many credentials of a user this installation accepts. usable: passkeys (whether it has any), issuers (of its providers)
local function usable_credentials(user, passkeys, identities, usable)
  local count = redis.call('HEXISTS', user, 'password')
  if usable.passkeys then count = count + redis.call('HLEN', passkeys) end
  for _, issuer in ipairs(usable.issuers) do count = count + redis.call('HEXISTS', identities, issuer) end
  return count
end

-- KEYS user, the user's passkeys, the user's identities; arguments: usable (as above). Returns OK | MISSING | LAST (without it, the
-- user could not sign in)
local function remove_password(keys, args)
  if redis.call('HEXISTS', keys[1], 'password') == 0 then return 'MISSING' end
  if usable_credentials(keys[1], keys[2], keys[3], args.usable) == 1 then return 'LAST' end
  redis.call('HDEL', keys[1], 'password')
  redis.call('HINCRBY', keys[1], 'revision', 1)
  return 'OK'
end

-- KEYS user, the user's passkeys, the user's identities; arguments: id, usable. Returns OK | MISSING | LAST, as above
local function remove_passkey(keys, args)
  if redis.call('HEXISTS', keys[2], args.id) == 0 then return 'MISSING' end
  if args.usable.passkeys and usable_credentials(keys[1], keys[2], keys[3], args.usable) == 1 then return 'LAST' end
  redis.call('HDEL', keys[2], args.id)
  return 'OK'
end

-- KEYS user, all identities, the user's identities; arguments: id (of the user), issuer, digest (of issuer and subject), identity.
-- Returns OK | KNOWN (they are linked already) | MISSING (no such user) | TAKEN (the person is linked to another user, or the user
-- to another person of this issuer)
local function link_identity(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return 'MISSING' end
  local other = redis.call('HGET', keys[2], args.digest)
  if other == args.id then return 'KNOWN' end
  if other or redis.call('HEXISTS', keys[3], args.issuer) == 1 then return 'TAKEN' end
  redis.call('HSET', keys[2], args.digest, args.id)
  redis.call('HSET', keys[3], args.issuer, args.identity)
  return 'OK'
end

-- KEYS user, all identities, the user's identities, the user's passkeys; arguments: issuer, usable. Returns OK | MISSING | LAST
local function unlink_identity(keys, args)
  local identity = redis.call('HGET', keys[3], args.issuer)
  if not identity then return 'MISSING' end
  local is_usable = false
  for _, issuer in ipairs(args.usable.issuers) do is_usable = is_usable or issuer == args.issuer end
  if is_usable and usable_credentials(keys[1], keys[4], keys[3], args.usable) == 1 then return 'LAST' end
  redis.call('HDEL', keys[2], cjson.decode(identity).digest)
  redis.call('HDEL', keys[3], args.issuer)
  return 'OK'
end

register('create_user', create_user)
register('update_user', update_user)
register('delete_user', delete_user)
register('start_session', start_session)
register('use_session', use_session)
register('confirm_identity', confirm_identity)
register('end_session', end_session)
register('end_sessions', end_sessions)
register('count_failures', count_failures)
register('add_mail_request', add_mail_request)
register('claim_mail_requests', claim_mail_requests)
register('add_passkey', add_passkey)
register('replace_passkey', replace_passkey)
register('remove_password', remove_password)
register('remove_passkey', remove_passkey)
register('link_identity', link_identity)
register('unlink_identity', unlink_identity)
