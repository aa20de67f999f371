-- The atomic steps of publishing. Redis rolls nothing back, so each function reads and checks everything before it writes.
-- Arguments are strings where they are stored: Lua's numbers are not exact.

-- The replication id of this server, which changes with every failover.
local function history()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
end

-- Returns an answer if this server has another history than the caller knows: it may lack recent writes, which come first.
local function other_history(args)
  if not args.history then return nil end
  local own = history()
  if own ~= args.history then return {'SWITCHED', own} end
end

-- Moves an article between its publisher's lists, one for each status; '' is no list.
local function move_between_lists(articles, publisher, id, from, to)
  if from == to then return end
  if from ~= '' then redis.call('ZREM', articles .. ':' .. from .. ':' .. publisher, id) end
  if to ~= '' then redis.call('ZADD', articles .. ':' .. to .. ':' .. publisher, 0, id) end
end

-- Returns the answer to a repeated request by its idempotency record, or nil for a new request.
local function lookup_idempotency(record, fingerprint)
  if record == '' then return nil end
  local found = redis.call('HMGET', record, 'fp', 'article')
  if not found[1] then return nil end
  return found[1] == fingerprint and {'REPEAT', found[2]} or {'KEY_MISMATCH'}
end

local function record_idempotency(record, fingerprint, id, schema, lifetime)
  if record == '' then return end
  redis.call('HSET', record, 'schema', schema, 'fp', fingerprint, 'article', id)
  redis.call('EXPIRE', record, lifetime)
end

-- Records the time of an erasure: the append-only file contains the text until it is rewritten (`newswire.storage.disk_erasure`).
local function note_erasure(key)
  local now = redis.call('TIME')
  redis.call('SET', key, string.format('%d%03d', now[1], math.floor(now[2] / 1000)))
end

-- Reads the fields of an article's state on which decisions depend. `revision_tag` is 'version-revision', or '' if there is no article.
local function read_state(key)
  local found = redis.call('HMGET', key, 'version', 'revision', 'status', 'external_id', 'publisher', 'retracted_by', 'labels')
  local state = {status = found[3] or '', external = found[4] or '', publisher = found[5], retracted_by = found[6],
    version = found[1], labels = found[7] or ''}
  state.revision_tag = found[1] and (found[1] .. '-' .. found[2]) or ''
  return state
end

local function add_fields(fields, ...)
  for _, each in ipairs({...}) do fields[#fields + 1] = each end
end

-- Appends the event to the stream and stores the version. `version` and `state_fields` are lists of fields and values; `before` is
-- the previous status of the article.
local function append_version(state_key, version_key, scheduled_key, due, stream, id, before, event, version, state_fields)
  local entry = redis.call('XADD', stream, '*', '__data__', event)
  redis.call('HSET', version_key, 'entry', entry, unpack(version))
  redis.call('HSET', state_key, 'status', 'published', 'revision', 0, unpack(state_fields))
  if before == 'retracted' then redis.call('HDEL', state_key, 'tombstone') end
  if before == 'scheduled' then
    redis.call('HDEL', state_key, 'embargo_until', 'held')
    redis.call('DEL', scheduled_key)
    redis.call('ZREM', due, id)
  end
  return entry
end

-- Creates or changes an article: publishes its next version, schedules it, or only records the request (action 'nothing').
-- KEYS state, version document or '', idempotency record or '', external ids of the publisher, articles, due, stream,
--      record of the caller or '', counter of the account's new articles of the day or ''
-- Arguments, all strings: id; expected_tag; write_token (unique to this call); fingerprint; publisher; external ('' for none);
--      key (id of the caller's API key); now (RFC 3339); now_ms; schema; lifetime (of the idempotency record, in s);
--      prefix (of the keys of article states); quota ('0' for none); mode: create | upsert | change;
--      action: publish | schedule | nothing;
--      for publish and schedule also: number (version or revision), source_version ('' for none), published_at, label_names (prefix of
--      the label keys), labels, media_names (prefix of the keys of images), media (a list of the files that it uses);
--      for schedule also: due (RFC 3339) and due_ms
-- Texts, in this order because each may be as long as an article: event, summary of the version for lists, data as stored
-- `history`, in all functions that change articles: the replication id that the caller knows
-- Returns SWITCHED history | BARRED | KEY_MISMATCH | REPEAT id | CANCELLED id | EXTERNAL_TAKEN id | STALE | TAKEN_DOWN |
--         LABEL_CONFLICT | OVER_QUOTA | OK entry
local function write(keys, args, argv)
  local event, summary, stored = unpack(argv, 2)
  local state_key, version_key, record, externals, articles, due = unpack(keys)
  local scheduled_key = state_key .. ':scheduled'
  local switched = other_history(args)
  if switched then return switched end
  if caller_is_barred(keys[8], args.now_ms) then return {'BARRED'} end

  local state = read_state(state_key)
  local is_new = state.revision_tag == ''
  -- The client library retries a call whose reply was lost: that is the same request, not a repeat of it.
  if args.action ~= 'nothing' and not is_new then
    local written = redis.call('HMGET', version_key, 'write_token', 'entry')
    if written[1] == args.write_token then return {'OK', written[2]} end
    if args.action == 'schedule' and redis.call('HGET', scheduled_key, 'write_token') == args.write_token then
      return {'OK', ''}
    end
  end

  local repeated = lookup_idempotency(record, args.fingerprint)
  if repeated and repeated[1] == 'REPEAT' and redis.call('EXISTS', args.prefix .. repeated[2]) == 0 then
    return {'CANCELLED', repeated[2]}
  end
  if repeated then return repeated end

  local names = args.external ~= '' and args.external ~= state.external
  local owner = names and redis.call('HGET', externals, args.external)
  if owner then
    local other = redis.call('HMGET', args.prefix .. owner, 'fingerprint', 'version', 'status')
    local as_created = other[1] == args.fingerprint
      and (args.mode == 'create' or (args.mode == 'upsert' and other[2] == '1' and other[3] == 'published'))
    if not as_created then return {'EXTERNAL_TAKEN', owner} end
    record_idempotency(record, args.fingerprint, owner, args.schema, args.lifetime)
    return {'REPEAT', owner}
  end
  if state.revision_tag ~= args.expected_tag then return {'STALE'} end
  if args.action ~= 'nothing' and state.retracted_by == 'operator' then return {'TAKEN_DOWN'} end
  local canonical, records = true, nil
  if args.action ~= 'nothing' then canonical, records = labels_are_canonical(args.label_names, args.publisher, args.labels) end
  if not canonical then return {'LABEL_CONFLICT'} end
  if args.action ~= 'nothing' and is_new and not within_quota(keys[9], args.quota) then return {'OVER_QUOTA'} end

  record_idempotency(record, args.fingerprint, args.id, args.schema, args.lifetime)
  if args.action == 'nothing' then return {'OK', ''} end
  use_media(args.media_names, args.publisher, 'article.' .. args.id, args.media)
  if names then redis.call('HSET', externals, args.external, args.id) end
  local fields = {'external_id', args.external, 'key', args.key, 'updated_at', args.now,
    'source_version', args.source_version, 'published_at', args.published_at}
  if is_new then
    add_fields(fields, 'schema', args.schema, 'id', args.id, 'publisher', args.publisher, 'fingerprint', args.fingerprint,
      'created_at', args.now)
    redis.call('ZADD', articles, args.now_ms, args.id)
  end
  local document = {'schema', args.schema, 'document', stored, 'key', args.key, 'write_token', args.write_token,
    'about', summary}
  if args.action == 'publish' then
    move_between_lists(articles, args.publisher, args.id, state.status, 'published')
    add_fields(fields, 'version', args.number)
    local lines = count_labels(args.label_names, args.publisher, state.labels, args.labels, records)
    if lines ~= '' then add_fields(fields, 'labels', lines) elseif state.labels ~= '' then redis.call('HDEL', state_key, 'labels') end
    local entry = append_version(state_key, version_key, scheduled_key, due, keys[7], args.id, state.status, event, document, fields)
    return {'OK', entry}
  end
  move_between_lists(articles, args.publisher, args.id, state.status, 'scheduled')
  redis.call('HDEL', state_key, 'held')
  redis.call('HSET', state_key, 'status', 'scheduled', 'version', 0, 'revision', args.number, 'embargo_until', args.due,
    unpack(fields))
  redis.call('HSET', scheduled_key, 'event', event, 'labels', args.labels, 'revision', args.number,
    'due', args.due, unpack(document))
  redis.call('ZADD', due, args.due_ms, args.id)
  return {'OK', ''}
end

-- Whether an article became due while its account was disabled. The account may have been enabled again since.
local function due_while_disabled(account, due)
  local disabled, from, upto = unpack(redis.call('HMGET', account, 'disabled_at', 'disabled_ms', 'enabled_ms'))
  if disabled then return true end
  return from and upto and tonumber(from) <= tonumber(due) and tonumber(due) < tonumber(upto)
end

-- Keeps an article scheduled without a due time: its publisher has to decide.
local function hold(due, state_key, scheduled_key, id)
  redis.call('ZREM', due, id)
  local revision = redis.call('HINCRBY', state_key, 'revision', 1)
  redis.call('HSET', state_key, 'held', 'account_disabled')
  redis.call('HSET', scheduled_key, 'revision', revision)
end

-- Publishes the scheduled articles that are due, in the order of their due times. Each article is published once, whichever process
-- is first. An article that became due while its account was disabled is held instead.
-- KEYS due, articles, stream; arguments: now (ms); limit, their maximum number; and the prefixes of the keys of article states (prefix),
--      labels (label_names) and accounts (accounts)
-- Returns SWITCHED history, or when the next one is due (ms) or '', then id and due time (ms) of each published article
local function publish_due(keys, args)
  local switched = other_history(args)
  if switched then return switched end
  local answer = {''}
  local found = redis.call('ZRANGEBYSCORE', keys[1], '-inf', args.now, 'WITHSCORES', 'LIMIT', 0, args.limit)
  for at = 1, #found, 2 do
    local id = found[at]
    local state_key = args.prefix .. id
    local scheduled_key = state_key .. ':scheduled'
    local state = read_state(state_key)
    local kept = redis.call('HMGET', scheduled_key, 'event', 'document', 'schema', 'key', 'write_token', 'about', 'due', 'labels')
    if state.status == 'scheduled' and kept[2] and due_while_disabled(args.accounts .. state.publisher, found[at + 1]) then
      hold(keys[1], state_key, scheduled_key, id)
    elseif state.status == 'scheduled' and kept[2] then
      local version = {'schema', kept[3], 'document', kept[2], 'key', kept[4], 'write_token', kept[5] or '', 'about', kept[6]}
      move_between_lists(keys[2], state.publisher, id, 'scheduled', 'published')
      append_version(state_key, state_key .. ':v:1', scheduled_key, keys[1], keys[3], id, 'scheduled', kept[1], version,
        {'version', 1, 'updated_at', kept[7]})
      store_labels(args.label_names, state.publisher, state_key, state.labels, kept[8] or '')
      answer[#answer + 1] = id
      answer[#answer + 1] = found[at + 1]
    else
      redis.call('ZREM', keys[1], id)
    end
  end
  answer[1] = redis.call('ZRANGE', keys[1], 0, 0, 'WITHSCORES')[2] or ''
  return answer
end

-- Ends the use of an article's images, and that of its own draft, and deletes those that nothing else uses.
local function erase_images(args, publisher)
  local names, draft = args.media_names, redis.call('HGET', args.drafts, args.id)
  local used = names .. 'used:draft.' .. (draft or '')
  for _, file in ipairs(draft and redis.call('SMEMBERS', names .. 'used:article.' .. args.id) or {}) do
    end_use(names, publisher, 'draft.' .. draft, file, args.now_ms, false)
    redis.call('SREM', used, file)
  end
  end_media_uses(names, publisher, 'article.' .. args.id, args.now_ms, true)
end

-- Corrects the totals of the archive for a document that is erased, if it is a pointer (`newswire.storage.document_archive`).
local function uncount_archived(totals, document)
  local bytes = string.match(document, '^archived:(%d+):')
  if not bytes then return end
  redis.call('HINCRBY', totals, 'documents', -1)
  redis.call('HINCRBY', totals, 'bytes', -bytes)
end

-- Maximum number of retractions to remember that the index does not show yet, for installations in which nothing indexes them.
local MAX_UNINDEXED = 10000

-- Whether a failover may have lost the retraction of an article: it has no later version, and is not retracted in this one.
local function may_lack_retraction(state, args)
  local version, retracted = tonumber(state.version or 0), tonumber(args.number)
  return version < retracted or version == retracted and state.status ~= 'retracted'
end

-- Brings an article to the version that was retracted, without its text.
local function restore_before_retraction(keys, state, args)
  if state.revision_tag == '' then
    redis.call('HSET', keys[1], 'schema', args.schema, 'id', args.id, 'publisher', args.publisher, 'external_id', args.external,
      'created_at', args.now)
    redis.call('ZADD', keys[6], args.now_ms, args.id)
    if args.external ~= '' then redis.call('HSETNX', keys[11], args.external, args.id) end
    state.publisher = args.publisher
  elseif state.status == 'scheduled' then
    redis.call('HDEL', keys[1], 'embargo_until', 'held')
    redis.call('DEL', keys[1] .. ':scheduled')
    redis.call('ZREM', keys[10], args.id)
  elseif state.status == 'retracted' then -- an earlier version is: the later one was lost
    move_between_lists(keys[6], state.publisher, args.id, 'retracted', '')
    state.status = ''
  end
  redis.call('HSET', keys[1], 'version', args.number, 'revision', 0)
end

-- Erases every version and stream entry of an article, and stores a tombstone instead.
-- KEYS 1 state, 2 stream, 3 dead letters of the article, 4 API key of the caller, 5 idempotency record or '', 6 articles,
--      7 retractions that the index does not show yet, 8 time of the last erasure, 9 audit log, 10 due,
--      11 external ids of the publisher, 12 articles to be erased from the archive, 13 totals of the archive, then every version
--      document
-- Arguments, all strings: id; expected_tag; write_token (unique to this call); fingerprint; now (RFC 3339); now_ms; schema; lifetime (of
--      the idempotency record, in s); label_names and media_names (prefixes of the keys of labels and images);
--      drafts (key of the drafts of the publisher's articles); by: 'operator' for a retraction by an operator, which prevents the
--      publisher from publishing it again, or ''; archive: '' if the installation has none;
--      readers_field, for the entitlements that could read it, and readers, their digests; tombstone; event;
--      audit, the entry of the audit log, appended unless the article was retracted before in the same way;
--      number (the version), publisher and external ('' for none): of the article; repeated: whether a failover may have lost the
--      retraction and versions before it
-- Returns SWITCHED history | BARRED | KEY_MISMATCH | REPEAT id | STALE | OK entry
local function retract(keys, args)
  local switched = other_history(args)
  if switched then return switched end
  if caller_is_barred(keys[4], args.now_ms) then return {'BARRED'} end
  if redis.call('HGET', keys[1], 'retraction') == args.write_token then return {'OK', ''} end
  local repeated = lookup_idempotency(keys[5], args.fingerprint)
  if repeated then return repeated end
  local state = read_state(keys[1])
  if args.repeated and may_lack_retraction(state, args) then
    restore_before_retraction(keys, state, args)
  elseif state.revision_tag ~= args.expected_tag then
    return {'STALE'}
  end

  record_idempotency(keys[5], args.fingerprint, args.id, args.schema, args.lifetime)
  local barred = args.by ~= '' and redis.call('HGET', keys[1], 'retracted_by') ~= args.by
  if barred then redis.call('HSET', keys[1], 'retracted_by', args.by) end
  if barred or state.status ~= 'retracted' then redis.call('XADD', keys[9], '*', 'entry', args.audit) end
  if state.status == 'retracted' then return {'OK', ''} end
  note_erasure(keys[8])
  for i = 14, #keys do
    local version = redis.call('HMGET', keys[i], 'entry', 'document')
    if version[1] then redis.call('XDEL', keys[2], version[1]) end
    uncount_archived(keys[13], version[2] or '')
    redis.call('DEL', keys[i])
  end
  -- Also without a pointer to an object: a process may have been killed, or Redis have failed over, after one was written.
  if args.archive ~= '' or redis.call('HEXISTS', keys[1], 'archived') == 1 then
    redis.call('ZADD', keys[12], args.now_ms, args.id)
  end
  for _, letter in ipairs(redis.call('SMEMBERS', keys[3])) do
    local stream, entry = string.match(letter, '^(.+) (%S+)$')
    if stream then redis.call('XDEL', stream, entry) end
  end
  redis.call('DEL', keys[3])
  move_between_lists(keys[6], state.publisher, args.id, state.status, 'retracted')
  store_labels(args.label_names, state.publisher, keys[1], state.labels, '')
  erase_images(args, state.publisher)
  redis.call('HINCRBY', keys[1], 'revision', 1)
  redis.call('HSET', keys[1], 'status', 'retracted', 'tombstone', args.tombstone, 'updated_at', args.now,
    'retraction', args.write_token, args.readers_field, args.readers)
  redis.call('ZADD', keys[7], args.now_ms, args.id .. '.' .. redis.call('HGET', keys[1], 'version'))
  redis.call('ZREMRANGEBYRANK', keys[7], 0, -MAX_UNINDEXED - 1)
  return {'OK', redis.call('XADD', keys[2], '*', '__data__', args.event)}
end

-- Cancels a scheduled article: every record of it is deleted, and its external id is available again.
-- KEYS 1 state, 2 scheduled document, 3 due, 4 articles, 5 external ids of the publisher, 6 API key of the caller,
--      7 idempotency record or '', 8 time of the last erasure, 9 audit log
-- Arguments, all strings: id, expected_tag, fingerprint, schema, lifetime (of the idempotency record, in s), now_ms,
--      media_names (prefix of the keys of images); audit, the entry of the audit log
-- Returns SWITCHED history | BARRED | KEY_MISMATCH | REPEAT id | STALE | OK
local function cancel(keys, args)
  local switched = other_history(args)
  if switched then return switched end
  if caller_is_barred(keys[6], args.now_ms) then return {'BARRED'} end
  local repeated = lookup_idempotency(keys[7], args.fingerprint)
  if repeated then return repeated end
  local state = read_state(keys[1])
  if state.revision_tag ~= args.expected_tag or state.status ~= 'scheduled' then return {'STALE'} end

  record_idempotency(keys[7], args.fingerprint, args.id, args.schema, args.lifetime)
  note_erasure(keys[8])
  if state.external ~= '' then redis.call('HDEL', keys[5], state.external) end
  move_between_lists(keys[4], state.publisher, args.id, 'scheduled', '')
  redis.call('ZREM', keys[4], args.id)
  redis.call('ZREM', keys[3], args.id)
  redis.call('DEL', keys[1], keys[2])
  end_media_uses(args.media_names, state.publisher, 'article.' .. args.id, args.now_ms, false)
  redis.call('XADD', keys[9], '*', 'entry', args.audit)
  return {'OK', ''}
end

-- Allows the publisher to publish an article again that an operator retracted. KEYS state. Returns whether an operator had retracted it.
local function release(keys)
  if redis.call('HGET', keys[1], 'retracted_by') ~= 'operator' then return 0 end
  return redis.call('HDEL', keys[1], 'retracted_by')
end

register('history', history, {'no-writes'})
register('release', release)
register('write', write)
register('publish_due', publish_due)
register('retract', retract)
register('cancel', cancel)
