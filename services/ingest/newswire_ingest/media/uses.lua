-- Which articles and drafts use which images; `items.lua` lists the keys.

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
