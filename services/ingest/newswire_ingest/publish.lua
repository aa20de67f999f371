-- The atomic steps of publishing. Redis rolls nothing back, so each function reads and checks everything before it writes.

-- Moves an article between its publisher's lists, one for each status; '' is no list.
local function move(articles, publisher, id, from, to)
  if from == to then return end
  if from ~= '' then redis.call('ZREM', articles .. ':' .. from .. ':' .. publisher, id) end
  if to ~= '' then redis.call('ZADD', articles .. ':' .. to .. ':' .. publisher, 0, id) end
end

-- Tells what is known of a request by its idempotency record: nothing, or the answer that it gets for that.
local function known(record, fingerprint)
  if record == '' then return nil end
  local found = redis.call('HMGET', record, 'fp', 'article')
  if not found[1] then return nil end
  return found[1] == fingerprint and {'REPEAT', found[2]} or {'KEY_MISMATCH'}
end

local function remember(record, fingerprint, id, schema, lifetime)
  if record == '' then return end
  redis.call('HSET', record, 'schema', schema, 'fp', fingerprint, 'article', id)
  redis.call('EXPIRE', record, lifetime)
end

-- Returns the head's fields that decide, and the state that callers name: 'version-revision', or '' where there is none.
local function read_head(key)
  local found = redis.call('HMGET', key, 'version', 'revision', 'status', 'external_id', 'publisher')
  local head = {status = found[3] or '', external = found[4] or '', publisher = found[5]}
  head.state = found[1] and (found[1] .. '-' .. found[2]) or ''
  return head
end

-- Puts version 1 or a later one on the stream and on record. `version` has the fields of the version document.
local function put_out(head_key, version_key, scheduled_key, due, stream, id, event, version, head)
  local entry = redis.call('XADD', stream, '*', '__data__', event)
  redis.call('HSET', version_key, 'entry', entry, unpack(version))
  redis.call('HSET', head_key, 'status', 'published', 'revision', 0, unpack(head))
  redis.call('HDEL', head_key, 'tombstone', 'embargo_until')
  redis.call('DEL', scheduled_key)
  redis.call('ZREM', due, id)
  return entry
end

-- Creates an article or changes it: publishes its next version, schedules it, or writes nothing and only knows the request.
-- KEYS 1 head, 2 version document, 3 scheduled document, 4 idempotency record or '', 5 external ids of the publisher,
--      6 articles, 7 due, 8 stream, 9 key of the caller
-- ARGV 1 article id, 2 state expected, 3 mark of this call, 4 fingerprint, 5 publisher, 6 external id or '',
--      7 id of the caller's key, 8 now (RFC 3339), 9 now (ms), 10 schema, 11 lifetime of the idempotency record (s),
--      12 what heads' names begin with, 13 create | upsert | change, 14 publish | schedule | nothing,
--      15 version or revision, 16 event up to its data, 17 data, 18 what lists say of the version,
--      19 source version or '', 20 published_at, 21 due (ms) or '', 22 due (RFC 3339) or ''
-- Answers REVOKED | KEY_MISMATCH | REPEAT id | CANCELLED id | EXTERNAL_TAKEN id | STALE | OK entry
local function write(keys, argv)
  local id, mark, fingerprint, publisher, external = argv[1], argv[3], argv[4], argv[5], argv[6]
  local why, what = argv[13], argv[14]
  if redis.call('HEXISTS', keys[9], 'hash') == 0 then return {'REVOKED'} end

  -- The client library sends a call again whose answer was lost: that is the same request, not a repeat of it.
  for _, document in ipairs(what == 'nothing' and {} or {keys[2], keys[3]}) do
    local written = redis.call('HMGET', document, 'mark', 'entry')
    if written[1] == mark then return {'OK', written[2] or ''} end
  end

  local repeated = known(keys[4], fingerprint)
  if repeated and repeated[1] == 'REPEAT' and redis.call('EXISTS', argv[12] .. repeated[2]) == 0 then
    return {'CANCELLED', repeated[2]}
  end
  if repeated then return repeated end

  local head = read_head(keys[1])
  if external ~= '' and external ~= head.external then
    local owner = redis.call('HGET', keys[5], external)
    if owner then
      local other = redis.call('HMGET', argv[12] .. owner, 'fingerprint', 'version', 'status')
      local as_created = other[1] == fingerprint
        and (why == 'create' or (why == 'upsert' and other[2] == '1' and other[3] == 'published'))
      if not as_created then return {'EXTERNAL_TAKEN', owner} end
      remember(keys[4], fingerprint, owner, argv[10], argv[11])
      return {'REPEAT', owner}
    end
  end
  if head.state ~= argv[2] then return {'STALE'} end

  remember(keys[4], fingerprint, id, argv[10], argv[11])
  if what == 'nothing' then return {'OK', ''} end
  if external ~= '' and external ~= head.external then redis.call('HSET', keys[5], external, id) end
  if head.state == '' then
    redis.call('HSET', keys[1], 'schema', argv[10], 'id', id, 'publisher', publisher, 'fingerprint', fingerprint,
      'created_at', argv[8])
    redis.call('ZADD', keys[6], argv[9], id)
  end
  local fields = {'external_id', external, 'key', argv[7], 'updated_at', argv[8], 'source_version', argv[19],
    'published_at', argv[20]}
  local document = {'schema', argv[10], 'document', argv[17], 'key', argv[7], 'mark', mark, 'about', argv[18]}
  if what == 'publish' then
    move(keys[6], publisher, id, head.status, 'published')
    local event = argv[16] .. argv[17] .. '}'
    fields[#fields + 1], fields[#fields + 2] = 'version', argv[15]
    return {'OK', put_out(keys[1], keys[2], keys[3], keys[7], keys[8], id, event, document, fields)}
  end
  move(keys[6], publisher, id, head.status, 'scheduled')
  redis.call('HSET', keys[1], 'status', 'scheduled', 'version', 0, 'revision', argv[15], 'embargo_until', argv[22],
    unpack(fields))
  redis.call('HSET', keys[3], 'event', argv[16], 'revision', argv[15], 'due', argv[22], unpack(document))
  redis.call('ZADD', keys[7], argv[21], id)
  return {'OK', ''}
end

-- Publishes what is due, in the order in which it is due. Each article goes out once, whichever process comes first.
-- KEYS due, articles, stream; ARGV now (ms), how many at most, what heads' names begin with
-- Answers when the next is due (ms) or '', then id and due time (ms) of each that went out
local function publish_due(keys, argv)
  local answer = {''}
  local found = redis.call('ZRANGEBYSCORE', keys[1], '-inf', argv[1], 'WITHSCORES', 'LIMIT', 0, argv[2])
  for at = 1, #found, 2 do
    local id = found[at]
    local head_key = argv[3] .. id
    local scheduled_key = head_key .. ':scheduled'
    local head = read_head(head_key)
    local kept = redis.call('HMGET', scheduled_key, 'event', 'document', 'schema', 'key', 'mark', 'about', 'due')
    if head.status == 'scheduled' and kept[2] then
      local version = {'schema', kept[3], 'document', kept[2], 'key', kept[4], 'mark', kept[5], 'about', kept[6]}
      move(keys[2], head.publisher, id, 'scheduled', 'published')
      put_out(head_key, head_key .. ':v:1', scheduled_key, keys[1], keys[3], id, kept[1] .. kept[2] .. '}', version,
        {'version', 1, 'updated_at', kept[7]})
      answer[#answer + 1] = id
      answer[#answer + 1] = found[at + 1]
    else
      redis.call('ZREM', keys[1], id)
    end
  end
  answer[1] = redis.call('ZRANGE', keys[1], 0, 0, 'WITHSCORES')[2] or ''
  return answer
end

-- KEYS 1 head, 2 stream, 3 dead letters of the article, 4 key of the caller, 5 idempotency record or '', 6 articles,
--      then every version document
-- ARGV 1 state expected, 2 tombstone, 3 event, 4 now (RFC 3339), 5 fingerprint, 6 schema,
--      7 lifetime of the idempotency record (s), 8 article id, 9 mark of this call
-- Answers REVOKED | KEY_MISMATCH | REPEAT id | STALE | OK entry
local function retract(keys, argv)
  if redis.call('HEXISTS', keys[4], 'hash') == 0 then return {'REVOKED'} end
  if redis.call('HGET', keys[1], 'retraction') == argv[9] then return {'OK', ''} end
  local repeated = known(keys[5], argv[5])
  if repeated then return repeated end
  local head = read_head(keys[1])
  if head.state ~= argv[1] then return {'STALE'} end

  remember(keys[5], argv[5], argv[8], argv[6], argv[7])
  if head.status == 'retracted' then return {'OK', ''} end
  for i = 7, #keys do
    local entry = redis.call('HGET', keys[i], 'entry')
    if entry then redis.call('XDEL', keys[2], entry) end
    redis.call('DEL', keys[i])
  end
  for _, letter in ipairs(redis.call('SMEMBERS', keys[3])) do
    local stream, entry = string.match(letter, '^(.+) (%S+)$')
    if stream then redis.call('XDEL', stream, entry) end
  end
  redis.call('DEL', keys[3])
  move(keys[6], head.publisher, argv[8], head.status, 'retracted')
  redis.call('HINCRBY', keys[1], 'revision', 1)
  redis.call('HSET', keys[1], 'status', 'retracted', 'tombstone', argv[2], 'updated_at', argv[4],
    'retraction', argv[9])
  return {'OK', redis.call('XADD', keys[2], '*', '__data__', argv[3])}
end

-- Takes back an article that was scheduled and is not out yet: nothing of it remains, and its external id is free again.
-- KEYS 1 head, 2 scheduled document, 3 due, 4 articles, 5 external ids of the publisher, 6 key of the caller,
--      7 idempotency record or ''
-- ARGV 1 state expected, 2 article id, 3 fingerprint, 4 schema, 5 lifetime of the idempotency record (s)
-- Answers REVOKED | KEY_MISMATCH | REPEAT id | STALE | OK
local function cancel(keys, argv)
  if redis.call('HEXISTS', keys[6], 'hash') == 0 then return {'REVOKED'} end
  local repeated = known(keys[7], argv[3])
  if repeated then return repeated end
  local head = read_head(keys[1])
  if head.state ~= argv[1] or head.status ~= 'scheduled' then return {'STALE'} end

  remember(keys[7], argv[3], argv[2], argv[4], argv[5])
  if head.external ~= '' then redis.call('HDEL', keys[5], head.external) end
  move(keys[4], head.publisher, argv[2], 'scheduled', '')
  redis.call('ZREM', keys[4], argv[2])
  redis.call('ZREM', keys[3], argv[2])
  redis.call('DEL', keys[1], keys[2])
  return {'OK', ''}
end

register('write', write)
register('publish_due', publish_due)
register('retract', retract)
register('cancel', cancel)
