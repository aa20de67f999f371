-- The atomic steps of drafts. A draft is one hash: its fields, its history, and the texts of its revisions (`text:<number>`).
-- What to write is decided in Python from what was read; the stamp, which every write increments, shows whether that still holds.

-- Returns the fields of a draft in the order of args.fields, and the text of its current revision or of args.number.
-- KEYS draft; arguments: fields, their names; number, a revision, or '' for the current one
local function read_draft(keys, args)
  local found = redis.call('HMGET', keys[1], unpack(args.fields))
  local number = args.number ~= '' and args.number or redis.call('HGET', keys[1], 'revision')
  found[#found + 1] = number and redis.call('HGET', keys[1], 'text:' .. number) or false
  return found
end

-- Creates or changes a draft.
-- KEYS draft, drafts of the account, discarded drafts, drafts of the account's articles, bytes of the account's drafts, audit log,
--      account, record of the caller or ''
-- Arguments: id; expected, the stamp that was read, or '' for a new draft; fields to set and removed ones; updated_ms; discarded_ms, or
--      '' unless it is discarded; article, or ''; grows, the bytes by which it grows; max_drafts and max_bytes of the account;
--      now_ms; text, the field of the text that follows, or ''; media, the files in a new text;
--      media_names, the prefix of the keys of images; owner, the account
-- Texts: the text, and the entry of the audit log, each '' for none
-- Returns OK | BARRED | STALE | TOO_MANY | TOO_LARGE
local function write_draft(keys, args, argv)
  if caller_is_barred(keys[8], args.now_ms) then return 'BARRED' end
  if keys[8] ~= '' and redis.call('HEXISTS', keys[7], 'disabled_at') == 1 then return 'BARRED' end
  if (redis.call('HGET', keys[1], 'stamp') or '') ~= args.expected then return 'STALE' end
  if args.expected == '' and redis.call('ZCARD', keys[2]) >= args.max_drafts then return 'TOO_MANY' end
  if args.grows > 0 and tonumber(redis.call('GET', keys[5]) or 0) + args.grows > args.max_bytes then return 'TOO_LARGE' end

  redis.call('HSET', keys[1], unpack(flat(args.fields)))
  if #args.removed > 0 then redis.call('HDEL', keys[1], unpack(args.removed)) end
  if args.text ~= '' then redis.call('HSET', keys[1], args.text, argv[2]) end
  redis.call('ZADD', keys[2], args.updated_ms, args.id)
  redis.call('INCRBY', keys[5], args.grows)
  if args.discarded_ms == '' then
    redis.call('ZREM', keys[3], args.id)
    if args.article ~= '' then redis.call('HSET', keys[4], args.article, args.id) end
  else
    redis.call('ZADD', keys[3], args.discarded_ms, args.id)
    if args.article ~= '' and redis.call('HGET', keys[4], args.article) == args.id then
      redis.call('HDEL', keys[4], args.article)
    end
  end
  if args.discarded_ms == '' then
    use_media(args.media_names, args.owner, 'draft.' .. args.id, args.media)
  else
    end_media_uses(args.media_names, args.owner, 'draft.' .. args.id, args.now_ms, false)
  end
  if argv[3] ~= '' then redis.call('XADD', keys[6], '*', 'entry', argv[3]) end
  return 'OK'
end

-- Erases a draft with all its revisions.
-- KEYS draft, drafts of the account, discarded drafts, drafts of the account's articles, bytes of the account's drafts, audit log, time
--      of the last erasure; arguments: id; expected, the stamp that was read; article, or ''; size; media_names and
--      owner, as above; texts: the entry of the audit log
-- Returns OK | STALE
local function erase_draft(keys, args, argv)
  if redis.call('HGET', keys[1], 'stamp') ~= args.expected then return 'STALE' end
  redis.call('DEL', keys[1])
  redis.call('ZREM', keys[2], args.id)
  redis.call('ZREM', keys[3], args.id)
  if args.article ~= '' and redis.call('HGET', keys[4], args.article) == args.id then
    redis.call('HDEL', keys[4], args.article)
  end
  redis.call('DECRBY', keys[5], args.size)
  local now = redis.call('TIME')
  end_media_uses(args.media_names, args.owner, 'draft.' .. args.id, string.format('%d000', now[1]), false)
  redis.call('SET', keys[7], string.format('%d%03d', now[1], math.floor(now[2] / 1000)))
  redis.call('XADD', keys[6], '*', 'entry', argv[2])
  return 'OK'
end

register('read_draft', read_draft, {'no-writes'})
register('write_draft', write_draft)
register('erase_draft', erase_draft)
