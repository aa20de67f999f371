-- The atomic steps of images. Every function takes `names`, the prefix of the keys, which `items.lua` lists; times are in ms.

-- Adds an uploaded image to an account.
-- Arguments: file, account, now, folder and written (whether its bytes were written there; `removals` lists the folder until now),
--            file_fields and item_fields (lists of names and values), variants (whether it has any), size in bytes,
--            max_bytes: of the account's files together, 0 for any number
-- Returns LATE (what was written, or was there before, was removed meanwhile) | KNOWN (the account has it already) |
--         FULL (its files take too many bytes) | ADDED
local function add(_, args)
  local names, file = args.names, args.file
  local stored, exists = file .. '.' .. args.folder, redis.call('EXISTS', names .. 'file:' .. file) == 1
  if args.written and not redis.call('ZSCORE', names .. 'removals', stored) then return 'LATE' end
  if not args.written and not exists then return 'LATE' end
  local item = names .. 'item:' .. file .. ':' .. args.account
  local known = redis.call('EXISTS', item) == 1
  local used = tonumber(redis.call('HGET', names .. 'bytes', args.account) or '0')
  if not known and args.max_bytes > 0 and used + args.size > args.max_bytes then
    if args.written then redis.call('ZADD', names .. 'removals', args.now, stored) end
    return 'FULL'
  end
  if exists and args.written then
    redis.call('ZADD', names .. 'removals', args.now, stored) -- another upload of the same bytes was faster
  elseif not exists then
    redis.call('HSET', names .. 'file:' .. file, 'folder', args.folder, unpack(args.file_fields))
    redis.call('ZREM', names .. 'removals', stored)
    if args.variants then redis.call('ZADD', names .. 'variants', args.now, file) end
  end
  if known then return 'KNOWN' end
  redis.call('HINCRBY', names .. 'bytes', args.account, args.size)
  redis.call('SADD', names .. 'owners:' .. file, args.account)
  redis.call('HSET', item, unpack(args.item_fields))
  redis.call('ZADD', names .. 'of:' .. args.account, args.now, file)
  redis.call('ZADD', names .. 'unused', args.now, file .. ' ' .. args.account)
  return 'ADDED'
end

-- Changes what an account says about an image. Arguments: file, account, fields (a list of names and values)
-- Returns whether the account has it.
local function describe(_, args)
  local item = args.names .. 'item:' .. args.file .. ':' .. args.account
  if redis.call('EXISTS', item) == 0 then return 0 end
  if #args.fields > 0 then redis.call('HSET', item, unpack(args.fields)) end
  return 1
end

-- Deletes an image of an account unless it is used. Arguments: file, account, now
-- Returns -1 (the account does not have it) | 0 (deleted) | the number of its uses
local function delete(_, args)
  if redis.call('EXISTS', args.names .. 'item:' .. args.file .. ':' .. args.account) == 0 then return -1 end
  local uses = redis.call('SCARD', args.names .. 'uses:' .. args.file .. ':' .. args.account)
  if uses == 0 then drop_media(args.names, args.account, args.file, args.now) end
  return uses
end

-- Deletes images that have been unused since before a time. Arguments: before, now, limit. Returns each as "file account".
local function expire(_, args)
  local before = '(' .. string.format('%d', args.before)
  local found = redis.call('ZRANGEBYSCORE', args.names .. 'unused', '-inf', before, 'LIMIT', 0, args.limit)
  for _, member in ipairs(found) do
    local file, account = string.match(member, '^(%x+) (.+)$')
    drop_media(args.names, account, file, args.now)
  end
  return found
end

-- Takes work that is due from a queue ('variants' or 'removals') for a time; without a result by then, it is due again.
-- Arguments: queue, now, lease, limit. Returns the members.
local function claim(_, args)
  local queue = args.names .. args.queue
  local found = redis.call('ZRANGEBYSCORE', queue, '-inf', args.now, 'LIMIT', 0, args.limit)
  for _, member in ipairs(found) do redis.call('ZADD', queue, args.now + args.lease, member) end
  return found
end

-- Ends the making of variants. Of a file that was removed meanwhile, the folder is to be deleted again.
-- Arguments: file, folder, now, complete (whether all were made). Returns whether the file is still stored there.
local function made(_, args)
  local names, file = args.names, args.file
  if redis.call('HGET', names .. 'file:' .. file, 'folder') ~= args.folder then
    redis.call('ZADD', names .. 'removals', args.now, file .. '.' .. args.folder)
    return 0
  end
  if args.complete then redis.call('ZREM', names .. 'variants', file) end
  return 1
end

register('add', add)
register('describe', describe)
register('delete', delete)
register('expire', expire)
register('claim', claim)
register('made', made)
