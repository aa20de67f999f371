-- The atomic steps of publishing. Redis rolls nothing back, so each function reads and checks everything before it writes.

-- Whether a key opens nothing any more: it is revoked, its account is disabled, or its time is over. Now in ms. '' is the command
-- line, which needs no key.
local function worthless(key, now)
  if key == '' then return false end
  local hash, expires = unpack(redis.call('HMGET', key, 'hash', 'expires'))
  return not hash or (expires and tonumber(expires) <= tonumber(now))
end

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

-- Notes that text is erased now: the append-only file holds it until it is rewritten (`newswire.storage.disk_erasure`).
local function note_erasure(key)
  local now = redis.call('TIME')
  redis.call('SET', key, string.format('%d%03d', now[1], math.floor(now[2] / 1000)))
end

-- Returns the head's fields that decide, and the state that callers name: 'version-revision', or '' where there is none.
local function read_head(key)
  local found = redis.call('HMGET', key, 'version', 'revision', 'status', 'external_id', 'publisher', 'retracted_by')
  local head = {status = found[3] or '', external = found[4] or '', publisher = found[5], retracted_by = found[6]}
  head.state = found[1] and (found[1] .. '-' .. found[2]) or ''
  return head
end

-- Puts version 1 or a later one on the stream and on record: `version` and `head` are fields of theirs, `before` is the status that
-- the article had.
local function put_out(head_key, version_key, scheduled_key, due, stream, id, before, event, version, head)
  local entry = redis.call('XADD', stream, '*', '__data__', event)
  redis.call('HSET', version_key, 'entry', entry, unpack(version))
  redis.call('HSET', head_key, 'status', 'published', 'revision', 0, unpack(head))
  if before == 'retracted' then redis.call('HDEL', head_key, 'tombstone') end
  if before == 'scheduled' then
    redis.call('HDEL', head_key, 'embargo_until', 'held')
    redis.call('DEL', scheduled_key)
    redis.call('ZREM', due, id)
  end
  return entry
end

-- Creates an article or changes it: publishes its next version, schedules it, or writes nothing and only knows the request.
-- KEYS head, version document or '', idempotency record or '', external ids of the publisher, articles, due, stream,
--      key of the caller, count of the account's new articles of the day or ''
-- ARGV 1 a JSON object of strings: id; state (expected); mark (of this call); fp; publisher; external ('' for none);
--        key (id of the caller's); now (RFC 3339); ms (the same); schema; lifetime (of the idempotency record, s);
--        prefix (what heads' names begin with); quota ('0' for none); why: create | upsert | change; what: publish | schedule | nothing;
--        and unless that is nothing: number (version or revision), source_version ('' for none), published_at,
--        due (RFC 3339) and due_ms where it is scheduled
--      2 event up to its data, 3 data, 4 what lists say of the version, 5 data as it is stored, 6 names of the records of labels,
--      7 labels
-- Answers REVOKED | KEY_MISMATCH | REPEAT id | CANCELLED id | EXTERNAL_TAKEN id | STALE | MISSPELT | OVER_QUOTA | OK entry
local function write(keys, argv)
  local sent = cjson.decode(argv[1])
  local head_key, version_key, record, externals, articles, due = unpack(keys)
  local scheduled_key = head_key .. ':scheduled'
  if worthless(keys[8], sent.ms) then return {'REVOKED'} end

  -- The client library sends a call again whose answer was lost: that is the same request, not a repeat of it.
  if sent.what ~= 'nothing' then
    local written = redis.call('HMGET', version_key, 'mark', 'entry')
    if written[1] == sent.mark then return {'OK', written[2]} end
    if sent.what == 'schedule' and redis.call('HGET', scheduled_key, 'mark') == sent.mark then return {'OK', ''} end
  end

  local repeated = known(record, sent.fp)
  if repeated and repeated[1] == 'REPEAT' and redis.call('EXISTS', sent.prefix .. repeated[2]) == 0 then
    return {'CANCELLED', repeated[2]}
  end
  if repeated then return repeated end

  local head = read_head(head_key)
  local names = sent.external ~= '' and sent.external ~= head.external
  local owner = names and redis.call('HGET', externals, sent.external)
  if owner then
    local other = redis.call('HMGET', sent.prefix .. owner, 'fingerprint', 'version', 'status')
    local as_created = other[1] == sent.fp
      and (sent.why == 'create' or (sent.why == 'upsert' and other[2] == '1' and other[3] == 'published'))
    if not as_created then return {'EXTERNAL_TAKEN', owner} end
    remember(record, sent.fp, owner, sent.schema, sent.lifetime)
    return {'REPEAT', owner}
  end
  if head.state ~= sent.state then return {'STALE'} end
  if sent.what ~= 'nothing' and head.retracted_by == 'operator' then return {'TAKEN_DOWN'} end
  if sent.what ~= 'nothing' and not well_spelt(argv[6], sent.publisher, argv[7]) then return {'MISSPELT'} end
  if sent.what ~= 'nothing' and head.state == '' and not within_quota(keys[9], sent.quota) then return {'OVER_QUOTA'} end

  remember(record, sent.fp, sent.id, sent.schema, sent.lifetime)
  if sent.what == 'nothing' then return {'OK', ''} end
  if names then redis.call('HSET', externals, sent.external, sent.id) end
  if head.state == '' then
    redis.call('HSET', head_key, 'schema', sent.schema, 'id', sent.id, 'publisher', sent.publisher, 'fingerprint', sent.fp,
      'created_at', sent.now)
    redis.call('ZADD', articles, sent.ms, sent.id)
  end
  local fields = {'external_id', sent.external, 'key', sent.key, 'updated_at', sent.now, 'source_version', sent.source_version,
    'published_at', sent.published_at}
  local document = {'schema', sent.schema, 'document', argv[5], 'key', sent.key, 'mark', sent.mark, 'about', argv[4]}
  if sent.what == 'publish' then
    move(articles, sent.publisher, sent.id, head.status, 'published')
    fields[#fields + 1], fields[#fields + 2] = 'version', sent.number
    local event = argv[2] .. argv[3] .. '}'
    count_labels(argv[6], sent.publisher, head_key, argv[7])
    return {'OK', put_out(head_key, version_key, scheduled_key, due, keys[7], sent.id, head.status, event, document, fields)}
  end
  move(articles, sent.publisher, sent.id, head.status, 'scheduled')
  redis.call('HDEL', head_key, 'held')
  redis.call('HSET', head_key, 'status', 'scheduled', 'version', 0, 'revision', sent.number, 'embargo_until', sent.due,
    unpack(fields))
  redis.call('HSET', scheduled_key, 'event', argv[2] .. argv[3] .. '}', 'labels', argv[7], 'revision', sent.number, 'due', sent.due, unpack(document))
  redis.call('ZADD', due, sent.due_ms, sent.id)
  return {'OK', ''}
end

-- Whether an article became due while its account was disabled, which may be over by now.
local function due_while_disabled(account, due)
  local disabled, from, upto = unpack(redis.call('HMGET', account, 'disabled_at', 'disabled_ms', 'enabled_ms'))
  if disabled then return true end
  return from and upto and tonumber(from) <= tonumber(due) and tonumber(due) < tonumber(upto)
end

-- Leaves an article scheduled that is not to go out by itself any more: its publisher decides.
local function hold(due, head_key, scheduled_key, id)
  redis.call('ZREM', due, id)
  local revision = redis.call('HINCRBY', head_key, 'revision', 1)
  redis.call('HSET', head_key, 'held', 'account_disabled')
  redis.call('HSET', scheduled_key, 'revision', revision)
end

-- Publishes what is due, in the order in which it is due. Each article goes out once, whichever process comes first. What became due
-- while its account was disabled is held instead.
-- KEYS due, articles, stream; ARGV now (ms), how many at most, what heads' names begin with, names of the records of labels, what
--      names of accounts' records begin with
-- Answers when the next is due (ms) or '', then id and due time (ms) of each that went out
local function publish_due(keys, argv)
  local answer = {''}
  local found = redis.call('ZRANGEBYSCORE', keys[1], '-inf', argv[1], 'WITHSCORES', 'LIMIT', 0, argv[2])
  for at = 1, #found, 2 do
    local id = found[at]
    local head_key = argv[3] .. id
    local scheduled_key = head_key .. ':scheduled'
    local head = read_head(head_key)
    local kept = redis.call('HMGET', scheduled_key, 'event', 'document', 'schema', 'key', 'mark', 'about', 'due', 'labels')
    if head.status == 'scheduled' and kept[2] and due_while_disabled(argv[5] .. head.publisher, found[at + 1]) then
      hold(keys[1], head_key, scheduled_key, id)
    elseif head.status == 'scheduled' and kept[2] then
      local version = {'schema', kept[3], 'document', kept[2], 'key', kept[4], 'mark', kept[5], 'about', kept[6]}
      move(keys[2], head.publisher, id, 'scheduled', 'published')
      put_out(head_key, head_key .. ':v:1', scheduled_key, keys[1], keys[3], id, 'scheduled', kept[1], version,
        {'version', 1, 'updated_at', kept[7]})
      count_labels(argv[4], head.publisher, head_key, kept[8] or '')
      answer[#answer + 1] = id
      answer[#answer + 1] = found[at + 1]
    else
      redis.call('ZREM', keys[1], id)
    end
  end
  answer[1] = redis.call('ZRANGE', keys[1], 0, 0, 'WITHSCORES')[2] or ''
  return answer
end

-- How many retractions that the index does not show are kept in mind, where nothing indexes them.
local MAX_UNINDEXED = 10000

-- KEYS 1 head, 2 stream, 3 dead letters of the article, 4 key of the caller, 5 idempotency record or '', 6 articles,
--      7 retractions that the index does not show yet, 8 time of the last erasure, then every version document
-- ARGV 1 state expected, 2 tombstone, 3 event, 4 now (RFC 3339), 5 fingerprint, 6 schema,
--      7 lifetime of the idempotency record (s), 8 article id, 9 mark of this call, 10 now (ms), 11 names of the records of labels,
--      12 'operator' where one retracts it, which keeps the publisher from publishing it again, or '', 13 the field that notes whose
--      entitlements could read it, 14 the digests of these
-- Answers REVOKED | KEY_MISMATCH | REPEAT id | STALE | OK entry
local function retract(keys, argv)
  if worthless(keys[4], argv[10]) then return {'REVOKED'} end
  if redis.call('HGET', keys[1], 'retraction') == argv[9] then return {'OK', ''} end
  local repeated = known(keys[5], argv[5])
  if repeated then return repeated end
  local head = read_head(keys[1])
  if head.state ~= argv[1] then return {'STALE'} end

  remember(keys[5], argv[5], argv[8], argv[6], argv[7])
  if argv[12] ~= '' then redis.call('HSET', keys[1], 'retracted_by', argv[12]) end
  if head.status == 'retracted' then return {'OK', ''} end
  note_erasure(keys[8])
  for i = 9, #keys do
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
  count_labels(argv[11], head.publisher, keys[1], '')
  redis.call('HINCRBY', keys[1], 'revision', 1)
  redis.call('HSET', keys[1], 'status', 'retracted', 'tombstone', argv[2], 'updated_at', argv[4],
    'retraction', argv[9], argv[13], argv[14])
  redis.call('ZADD', keys[7], argv[10], argv[8] .. '.' .. redis.call('HGET', keys[1], 'version'))
  redis.call('ZREMRANGEBYRANK', keys[7], 0, -MAX_UNINDEXED - 1)
  return {'OK', redis.call('XADD', keys[2], '*', '__data__', argv[3])}
end

-- Takes back an article that was scheduled and is not out yet: nothing of it remains, and its external id is free again.
-- KEYS 1 head, 2 scheduled document, 3 due, 4 articles, 5 external ids of the publisher, 6 key of the caller,
--      7 idempotency record or '', 8 time of the last erasure
-- ARGV 1 state expected, 2 article id, 3 fingerprint, 4 schema, 5 lifetime of the idempotency record (s), 6 now (ms)
-- Answers REVOKED | KEY_MISMATCH | REPEAT id | STALE | OK
local function cancel(keys, argv)
  if worthless(keys[6], argv[6]) then return {'REVOKED'} end
  local repeated = known(keys[7], argv[3])
  if repeated then return repeated end
  local head = read_head(keys[1])
  if head.state ~= argv[1] or head.status ~= 'scheduled' then return {'STALE'} end

  remember(keys[7], argv[3], argv[2], argv[4], argv[5])
  note_erasure(keys[8])
  if head.external ~= '' then redis.call('HDEL', keys[5], head.external) end
  move(keys[4], head.publisher, argv[2], 'scheduled', '')
  redis.call('ZREM', keys[4], argv[2])
  redis.call('ZREM', keys[3], argv[2])
  redis.call('DEL', keys[1], keys[2])
  return {'OK', ''}
end

-- Lets the publisher publish an article again that an operator retracted. KEYS head. Answers whether it was so.
local function release(keys)
  if redis.call('HGET', keys[1], 'retracted_by') ~= 'operator' then return 0 end
  return redis.call('HDEL', keys[1], 'retracted_by')
end

register('release', release)
register('write', write)
register('publish_due', publish_due)
register('retract', retract)
register('cancel', cancel)
