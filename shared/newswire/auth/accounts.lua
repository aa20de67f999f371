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
local function ensure_account(record, names, forms, args)
  local name = args.name
  if redis.call('EXISTS', record) == 1 then return false end
  local alike = redis.call('HGET', forms, args.folded)
  if alike and alike ~= name then return alike end
  redis.call('HSET', forms, args.folded, name)
  redis.call('HSET', record, 'schema', args.schema, 'name', name, 'created_at', args.now)
  redis.call('ZADD', names, 0, name)
  return true
end

-- KEYS account, names of all accounts, folded names of all accounts; arguments: name, now (RFC 3339), schema, folded (the name). Returns 1
-- if it is new, 0 if it is not, or the name of another account that it is confusable with.
local function create_account(keys, args)
  local opened = ensure_account(keys[1], keys[2], keys[3], args)
  return type(opened) == 'string' and opened or (opened and 1 or 0)
end

-- KEYS key, ids of all keys, ids of the account's keys, account, names of all accounts, folded names of all accounts
-- Arguments: id, name of the account, now (RFC 3339), schema, folded (the name), fields of the key. Returns DISABLED, ALIKE and the name
-- of another account, or what was created: any of ACCOUNT, KEY
local function create_key(keys, args)
  local made = {}
  local opened = ensure_account(keys[4], keys[5], keys[6], args)
  if type(opened) == 'string' then return {'ALIKE', opened} end
  if opened then made[1] = 'ACCOUNT' end
  if redis.call('HEXISTS', keys[4], 'disabled_at') == 1 then return 'DISABLED' end
  if redis.call('DEL', keys[1]) == 0 then made[#made + 1] = 'KEY' end
  redis.call('HSET', keys[1], 'schema', args.schema, 'id', args.id, 'account', args.name, 'created_at', args.now, unpack(flat(args.fields)))
  for _, name in ipairs(LIMITS) do
    local value = redis.call('HGET', keys[4], name)
    if value then redis.call('HSET', keys[1], name, value) end
  end
  redis.call('ZADD', keys[2], 0, args.id)
  redis.call('ZADD', keys[3], 0, args.id)
  return made
end

-- KEYS old key, new key, ids of all keys, ids of the account's keys, changes of accounts, their count
-- Arguments: id and fields of the new key; now (ms); old_expires (ms), when the old one ends; expires (ms), when the new one ends; without
-- it, the new one has the lifetime of the old one. Returns OK | MISSING | INVALID | REPLACED id
local function rotate_key(keys, args)
  local old, now = keys[1], args.now
  if redis.call('EXISTS', old) == 0 then return {'MISSING'} end
  local id, hash, expires, replaced, created = unpack(redis.call('HMGET', old, 'id', 'hash', 'expires', 'replaced_by', 'created'))
  if replaced then return {'REPLACED', replaced} end
  if not hash or (expires and tonumber(expires) <= now) then return {'INVALID'} end
  redis.call('HSET', keys[2], unpack(redis.call('HGETALL', old)))
  redis.call('HDEL', keys[2], 'expires', 'last_used')
  redis.call('HSET', keys[2], 'id', args.id, 'replaces', id, unpack(flat(args.fields)))
  local ends = args.expires or (expires and created and now + tonumber(expires) - tonumber(created))
  if ends then redis.call('HSET', keys[2], 'expires', ends) end
  redis.call('HSET', old, 'replaced_by', args.id)
  if not expires or tonumber(expires) > args.old_expires then redis.call('HSET', old, 'expires', args.old_expires) end
  redis.call('ZADD', keys[3], 0, args.id)
  redis.call('ZADD', keys[4], 0, args.id)
  append_account_change(keys[5], keys[6], redis.call('HGET', old, 'account'))
  return {'OK'}
end

-- KEYS key, changes of accounts, their count; arguments: now (RFC 3339). Returns whether there is such a key.
local function revoke_key(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return 0 end
  redis.call('HDEL', keys[1], 'hash', 'withheld')
  redis.call('HSETNX', keys[1], 'revoked_at', args.now)
  append_account_change(keys[2], keys[3], redis.call('HGET', keys[1], 'account'))
  return 1
end

-- Changes an account and the records of its keys, and appends the entry to the audit log; neither if it is so already.
-- KEYS account, ids of its keys, changes of accounts, their count, audit log
-- Arguments: key_prefix, of the records of keys; fields to set, '' to remove one; disabled: whether the account must be disabled, or must
-- not be, for there to be anything to change (absent: whichever); audit, the entry. Returns whether there is such an account.
local function update_account(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return 0 end
  if args.disabled ~= nil and (redis.call('HEXISTS', keys[1], 'disabled_at') == 1) ~= args.disabled then return 1 end
  local differs = false
  for name, value in pairs(args.fields) do
    if (redis.call('HGET', keys[1], name) or '') ~= value then differs = true end
  end
  if not differs then return 1 end
  redis.call('XADD', keys[5], '*', 'entry', args.audit)
  if args.fields.entitlement or args.fields.disabled_at then
    append_account_change(keys[3], keys[4], redis.call('HGET', keys[1], 'name'))
  end
  local records = {keys[1]}
  for _, id in ipairs(redis.call('ZRANGE', keys[2], 0, -1)) do records[#records + 1] = args.key_prefix .. id end
  for _, record in ipairs(records) do
    for name, value in pairs(args.fields) do
      if value == '' then redis.call('HDEL', record, name) else redis.call('HSET', record, name, value) end
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

-- KEYS key; arguments: now and interval (ms), the shortest time between two records. Records that a key was used.
local function record_key_usage(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return 0 end
  local last = tonumber(redis.call('HGET', keys[1], 'last_used') or 0)
  if args.now - last < args.interval then return 0 end
  redis.call('HSET', keys[1], 'last_used', args.now)
  return 1
end

register('create_account', create_account)
register('create_key', create_key)
register('rotate_key', rotate_key)
register('revoke_key', revoke_key)
register('update_account', update_account)
register('record_key_usage', record_key_usage)
