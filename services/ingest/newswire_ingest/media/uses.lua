-- Which articles and drafts use which images. `names` is the prefix of the keys; a file is named by its SHA-256:
--   file:{file}            hash: what is stored, and in which folder          owners:{file}   set: the accounts that uploaded it
--   item:{file}:{account}  hash: what an account says about it                of:{account}    zset: its files, by the time of upload
--   uses:{file}:{account}  set: 'article.{id}' and 'draft.{id}' of the account that use it
--   used:{use}             set: the files that an article or a draft uses
--   unused                 zset: "file account" of items without a use, by the time since when
--   variants               zset: files whose variants are to be made          removals        zset: "file.folder" to delete, by time
-- An item exists while its account keeps it; a file exists while it has an owner.

-- Records that an article or a draft uses files of its account. Files of other accounts are no concern of theirs.
local function use_media(names, account, use, files)
  for _, file in ipairs(files) do
    if redis.call('EXISTS', names .. 'item:' .. file .. ':' .. account) == 1 then
      redis.call('SADD', names .. 'uses:' .. file .. ':' .. account, use)
      redis.call('SADD', names .. 'used:' .. use, file)
      redis.call('ZREM', names .. 'unused', file .. ' ' .. account)
    end
  end
end

-- Deletes an item, and its file with the last owner. The storage is cleared afterwards: nothing is served without a record.
local function drop_media(names, account, file, now)
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

-- Ends the use of one file. `erase`: what nothing else uses is deleted; otherwise it counts as unused from now on.
local function end_use(names, account, use, file, now, erase)
  local uses = names .. 'uses:' .. file .. ':' .. account
  if redis.call('SREM', uses, use) == 0 or redis.call('EXISTS', uses) == 1 then return end
  if erase then
    drop_media(names, account, file, now)
  else
    redis.call('ZADD', names .. 'unused', now, file .. ' ' .. account)
  end
end

-- Ends the use of all files of an article or a draft.
local function end_media_uses(names, account, use, now, erase)
  for _, file in ipairs(redis.call('SMEMBERS', names .. 'used:' .. use)) do
    end_use(names, account, use, file, now, erase)
  end
  redis.call('DEL', names .. 'used:' .. use)
end
