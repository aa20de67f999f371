-- The atomic steps of publishing. Redis rolls nothing back, so each function reads and checks everything before it writes.

-- Whether a key opens nothing any more: it is revoked, its account is disabled, or its time is over. Now in ms.
local function worthless(key, now)
  local hash, expires = unpack(redis.call('HMGET', key, 'hash', 'expires'))
  return not hash or (expires and tonumber(expires) <= tonumber(now))
end

-- KEYS head, version document, idempotency record or '', external ids of the publisher, articles, stream, key of the caller,
--      count of the account's new articles of the day or ''
-- ARGV 1 article id, 2 version, 3 fingerprint, 4 publisher, 5 external id or '', 6 id of the caller's key, 7 now (RFC 3339),
--      8 now (ms), 9 schema, 10 lifetime of the idempotency record (s), 11 event up to its data, 12 data,
--      13 names of heads up to the id, 14 daily quota, 15 data as it is stored, 16 names of the records of labels, 17 labels
-- Answers REVOKED | KEY_MISMATCH | REPEAT id | EXTERNAL_TAKEN id | STALE version | MISSPELT | OVER_QUOTA | OK version entry
local function publish(keys, argv)
  local id, fingerprint, external = argv[1], argv[3], argv[5]
  if worthless(keys[7], argv[8]) then return {'REVOKED'} end

  local idempotent = keys[3] ~= ''
  local known = idempotent and redis.call('HMGET', keys[3], 'fp', 'article') or {}
  if known[1] and known[1] ~= fingerprint then return {'KEY_MISMATCH'} end
  local earlier = known[2]
  if not earlier and external ~= '' then
    earlier = redis.call('HGET', keys[4], external)
    if earlier and earlier ~= id and redis.call('HGET', argv[13] .. earlier, 'fingerprint') ~= fingerprint then
      return {'EXTERNAL_TAKEN', earlier}
    end
  end

  local head = redis.call('HMGET', keys[1], 'version', 'fingerprint')
  -- The client library sends a call again whose answer was lost: that is the same request, not a repeat of it.
  if head[1] == argv[2] and head[2] == fingerprint then
    return {'OK', tonumber(head[1]), redis.call('HGET', keys[2], 'entry') or ''}
  end
  if not earlier and tonumber(head[1] or '0') ~= tonumber(argv[2]) - 1 then return {'STALE', tonumber(head[1] or '0')} end

  if not earlier and not well_spelt(argv[16], argv[17]) then return {'MISSPELT'} end
  if not earlier and argv[2] == '1' and not within_quota(keys[8], argv[14]) then return {'OVER_QUOTA'} end

  if idempotent and not known[1] then
    redis.call('HSET', keys[3], 'schema', argv[9], 'fp', fingerprint, 'article', earlier or id)
    redis.call('EXPIRE', keys[3], argv[10])
  end
  if earlier then return {'REPEAT', earlier} end

  if external ~= '' then redis.call('HSET', keys[4], external, id) end
  local entry = redis.call('XADD', keys[6], '*', '__data__', argv[11] .. argv[12] .. '}')
  redis.call('HSET', keys[2], 'schema', argv[9], 'document', argv[15], 'key', argv[6], 'entry', entry)
  redis.call('HSET', keys[1], 'schema', argv[9], 'id', id, 'status', 'published', 'version', argv[2], 'revision', 0,
    'publisher', argv[4], 'external_id', external, 'fingerprint', fingerprint, 'key', argv[6],
    'created_at', argv[7], 'updated_at', argv[7])
  redis.call('ZADD', keys[5], argv[8], id)
  count_labels(argv[16], keys[1], argv[17])
  return {'OK', tonumber(argv[2]), entry}
end

-- KEYS head, stream, dead letters of the article, key of the caller, then every version document
-- ARGV 1 version, 2 tombstone, 3 event, 4 now (RFC 3339), 5 now (ms), 6 names of the records of labels
-- Answers REVOKED | MISSING | RETRACTED | STALE version | OK entry
local function retract(keys, argv)
  if worthless(keys[4], argv[5]) then return {'REVOKED'} end
  local head = redis.call('HMGET', keys[1], 'version', 'status')
  if not head[1] then return {'MISSING'} end
  if head[2] == 'retracted' then return {'RETRACTED'} end
  if head[1] ~= argv[1] then return {'STALE', tonumber(head[1])} end

  for i = 5, #keys do
    local entry = redis.call('HGET', keys[i], 'entry')
    if entry then redis.call('XDEL', keys[2], entry) end
    redis.call('DEL', keys[i])
  end
  for _, letter in ipairs(redis.call('SMEMBERS', keys[3])) do
    local stream, entry = string.match(letter, '^(.+) (%S+)$')
    if stream then redis.call('XDEL', stream, entry) end
  end
  redis.call('DEL', keys[3])
  count_labels(argv[6], keys[1], '')
  redis.call('HSET', keys[1], 'status', 'retracted', 'tombstone', argv[2], 'updated_at', argv[4])
  return {'OK', redis.call('XADD', keys[2], '*', '__data__', argv[3])}
end

register('publish', publish)
register('retract', retract)
