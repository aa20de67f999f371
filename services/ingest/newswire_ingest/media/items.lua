-- Images and what uses them. `names` is the prefix of the keys; a file is named by its SHA-256:
--   file:{file}            hash: what is stored, and in which folder          owners:{file}   set: the accounts that uploaded it
--   item:{file}:{account}  hash: what an account says about it                of:{account}    zset: its files, by the time of upload
--   uses:{file}:{account}  set: 'article.{id}' and 'draft.{id}' of the account that use it
--   used:{use}             set: the files that an article or a draft uses
--   bytes                  hash: account → the bytes of its files
--   unused                 zset: "file account" of items without a use, by the time since when
--   variants               zset: files whose variants are to be made          removals        zset: "file.folder" to delete, by time
-- An item exists while its account keeps it; a file exists while it has an owner.

-- Deletes an item, and its file with the last owner. The storage is cleared afterwards: nothing is served without a record.
local function drop_media(names, account, file, now)
  local size = tonumber(redis.call('HGET', names .. 'file:' .. file, 'size') or '0')
  if redis.call('EXISTS', names .. 'item:' .. file .. ':' .. account) == 1 and size > 0 then
    if redis.call('HINCRBY', names .. 'bytes', account, -size) <= 0 then redis.call('HDEL', names .. 'bytes', account) end
  end
  redis.call('DEL', names .. 'item:' .. file .. ':' .. account, names .. 'uses:' .. file .. ':' .. account)
  redis.call('ZREM', names .. 'of:' .. account, file)
  redis.call('ZREM', names .. 'unused', file .. ' ' .. account)
  redis.call('SREM', names .. 'owners:' .. file, account)
  if redis.call('EXISTS', names .. 'owners:' .. file) == 1 then return end
  local folder = redis.call('HGET', names .. 'file:' .. file, 'folder')
  redis.call('DEL', names .. 'file:' .. file)
  redis.call('ZREM', names .. 'variants', file)
  if folder then redis.call('ZADD', names .. 'removals', now, file .. '.' .. folder) end
end
