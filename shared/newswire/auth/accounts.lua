-- Accounts and keys. The record of a key has a field `hash` while the key is valid: revoking deletes it, disabling the account
-- moves it to `withheld`. The limits of an account are copied to the records of its keys, so that one read returns all of a caller.

local LIMITS = {'publish_rate', 'daily_quota', 'entitlement', 'disabled_at'}
local MAX_ACCOUNT_CHANGES = 10000

-- Appends a change of an account's access for its followers. The counter shows them whether they missed an entry.
local function append_account_change(changes, counter, account)
  redis.call('XADD', changes, 'MAXLEN', '~', MAX_ACCOUNT_CHANGES, '*', 'count', redis.call('INCR', counter), 'account', account)
end

-- Creates an account unless it exists. Filters cannot distinguish two names with the same folded form: returns the existing name
-- if the new one is confusable with it, else whether the account is new.
local function ensure_account(record, names, forms, name, now, schema, form)
  if redis.call('EXISTS', record) == 1 then return false end
  local alike = redis.call('HGET', forms, form)
  if alike and alike ~= name then return alike end
  redis.call('HSET', forms, form, name)
  redis.call('HSET', record, 'schema', schema, 'name', name, 'created_at', now)
  redis.call('ZADD', names, 0, name)
  return true
end

-- KEYS account, names of all accounts, folded names of all accounts; ARGV name, now (RFC 3339), schema, folded name. Answers 1 where it
-- is new, 0 where it is not, or the name of another account that it is like.
local function create_account(keys, argv)
  local opened = ensure_account(keys[1], keys[2], keys[3], argv[1], argv[2], argv[3], argv[4])
  return type(opened) == 'string' and opened or (opened and 1 or 0)
end

-- KEYS key, ids of all keys, ids of the account's keys, account, names of all accounts, folded names of all accounts
-- ARGV 1 id, 2 name of the account, 3 now (RFC 3339), 4 schema, 5 folded name, then the fields of the key. Answers DISABLED, ALIKE and
-- the name of another account, or what was made that was not there before: any of ACCOUNT, KEY
local function create_key(keys, argv)
  local made = {}
  local opened = ensure_account(keys[4], keys[5], keys[6], argv[2], argv[3], argv[4], argv[5])
  if type(opened) == 'string' then return {'ALIKE', opened} end
  if opened then made[1] = 'ACCOUNT' end
  if redis.call('HEXISTS', keys[4], 'disabled_at') == 1 then return 'DISABLED' end
  if redis.call('DEL', keys[1]) == 0 then made[#made + 1] = 'KEY' end
  redis.call('HSET', keys[1], 'schema', argv[4], 'id', argv[1], 'account', argv[2], 'created_at', argv[3], unpack(argv, 6))
  for _, name in ipairs(LIMITS) do
    local value = redis.call('HGET', keys[4], name)
    if value then redis.call('HSET', keys[1], name, value) end
  end
  redis.call('ZADD', keys[2], 0, argv[1])
  redis.call('ZADD', keys[3], 0, argv[1])
  return made
end

-- KEYS old key, new key, ids of all keys, ids of the account's keys, changes of accounts, their count
-- ARGV 1 id of the new key, 2 now (ms), 3 when the old one ends (ms), 4 when the new one ends (ms, '' for never, or 'same' for as
-- long as the old one was given), then fields of the new key. Answers OK | MISSING | INVALID | REPLACED id
local function rotate_key(keys, argv)
  local old, now = keys[1], tonumber(argv[2])
  if redis.call('EXISTS', old) == 0 then return {'MISSING'} end
  local id, hash, expires, replaced, created = unpack(redis.call('HMGET', old, 'id', 'hash', 'expires', 'replaced_by', 'created'))
  if replaced then return {'REPLACED', replaced} end
  if not hash or (expires and tonumber(expires) <= now) then return {'INVALID'} end
  redis.call('HSET', keys[2], unpack(redis.call('HGETALL', old)))
  redis.call('HDEL', keys[2], 'expires', 'last_used')
  redis.call('HSET', keys[2], 'id', argv[1], 'replaces', id, unpack(argv, 5))
  local ends = argv[4]
  if ends == 'same' then
    ends = expires and created and string.format('%.0f', now + tonumber(expires) - tonumber(created)) or ''
  end
  if ends ~= '' then redis.call('HSET', keys[2], 'expires', ends) end
  redis.call('HSET', old, 'replaced_by', argv[1])
  if not expires or tonumber(expires) > tonumber(argv[3]) then redis.call('HSET', old, 'expires', argv[3]) end
  redis.call('ZADD', keys[3], 0, argv[1])
  redis.call('ZADD', keys[4], 0, argv[1])
  append_account_change(keys[5], keys[6], redis.call('HGET', old, 'account'))
  return {'OK'}
end

-- KEYS key, changes of accounts, their count; ARGV now (RFC 3339). Answers whether there is such a key.
local function revoke_key(keys, argv)
  if redis.call('EXISTS', keys[1]) == 0 then return 0 end
  redis.call('HDEL', keys[1], 'hash', 'withheld')
  redis.call('HSETNX', keys[1], 'revoked_at', argv[1])
  append_account_change(keys[2], keys[3], redis.call('HGET', keys[1], 'account'))
  return 1
end

-- KEYS account, ids of its keys, changes of accounts, their count; ARGV names of key records up to the id, then name and value of limits ('' takes one away).
-- Answers whether there is such an account.
local function update_account(keys, argv)
  if redis.call('EXISTS', keys[1]) == 0 then return 0 end
  for i = 2, #argv, 2 do
    if argv[i] == 'entitlement' or argv[i] == 'disabled_at' then
      append_account_change(keys[3], keys[4], redis.call('HGET', keys[1], 'name'))
      break
    end
  end
  local records = {keys[1]}
  for _, id in ipairs(redis.call('ZRANGE', keys[2], 0, -1)) do records[#records + 1] = argv[1] .. id end
  for _, record in ipairs(records) do
    for i = 2, #argv, 2 do
      if argv[i + 1] == '' then redis.call('HDEL', record, argv[i]) else redis.call('HSET', record, argv[i], argv[i + 1]) end
    end
    local closed = redis.call('HEXISTS', record, 'disabled_at') == 1
    local from, to = closed and 'hash' or 'withheld', closed and 'withheld' or 'hash'
    local hash = redis.call('HGET', record, from)
    if hash then
      redis.call('HSET', record, to, hash)
      redis.call('HDEL', record, from)
    end
  end
  return 1
end

-- KEYS key; ARGV now (ms), shortest time between two notes (ms). Notes that a key was used.
local function record_key_usage(keys, argv)
  if redis.call('EXISTS', keys[1]) == 0 then return 0 end
  local last = tonumber(redis.call('HGET', keys[1], 'last_used') or 0)
  if tonumber(argv[1]) - last < tonumber(argv[2]) then return 0 end
  redis.call('HSET', keys[1], 'last_used', argv[1])
  return 1
end

register('create_account', create_account)
register('create_key', create_key)
register('rotate_key', rotate_key)
register('revoke_key', revoke_key)
register('update_account', update_account)
register('record_key_usage', record_key_usage)
