-- The atomic steps of the archive. They also work on a full server, since they make room.
-- An article whose objects may exist has the field 'archived': the number of the newest version up to which all are archived.

-- Begins to archive versions of an article: until the end of its lease, no other process does, and an erasure is repeated.
-- KEYS state, articles to be erased, articles being archived; arguments: id; now and expires (ms).
-- Returns OK, GONE (retracted, or being erased) or BUSY.
local function begin(keys, args)
  if redis.call('HGET', keys[1], 'status') ~= 'published' then return 'GONE' end
  if redis.call('ZSCORE', keys[2], args.id) then return 'GONE' end
  if tonumber(redis.call('ZSCORE', keys[3], args.id) or 0) > args.now then return 'BUSY' end
  redis.call('ZADD', keys[3], args.expires, args.id)
  redis.call('HSETNX', keys[1], 'archived', 0)
  return 'OK'
end

-- Replaces documents by pointers, each only if it is still the one that was archived, and ends the lease.
-- KEYS state, articles being archived, totals, then each version; arguments: id; archived (the new value of the state's field);
--      versions, for each version: digest (SHA-1 of the document as stored), pointer, bytes, about (its summary without its number)
-- Returns the number of replaced documents.
local function swap(keys, args)
  redis.call('ZREM', keys[2], args.id)
  if redis.call('HGET', keys[1], 'status') ~= 'published' then return 0 end
  local count, bytes = 0, 0
  for at, new in ipairs(args.versions) do
    local key = keys[3 + at]
    local document = redis.call('HGET', key, 'document')
    if document and redis.sha1hex(document) == new.digest then
      local fields = redis.call('HGETALL', key)
      local kept = {}
      for i = 1, #fields, 2 do
        local name = fields[i]
        -- The write token only recognises calls that are retried at once.
        if name ~= 'document' and name ~= 'about' and name ~= 'write_token' then
          kept[#kept + 1], kept[#kept + 2] = name, fields[i + 1]
        end
      end
      redis.call('DEL', key)  -- written again without long values, the hash takes a third of the memory
      redis.call('HSET', key, 'document', new.pointer, 'about', new.about, unpack(kept))
      count, bytes = count + 1, bytes + new.bytes
    end
  end
  redis.call('HSET', keys[1], 'archived', args.archived)
  redis.call('HINCRBY', keys[3], 'documents', count)
  redis.call('HINCRBY', keys[3], 'bytes', bytes)
  return count
end

-- Takes articles whose erasure is due; without a result by the end of the lease, it is due again.
-- KEYS articles to be erased; arguments: now and expires (ms), limit. Returns their ids.
local function claim_erasures(keys, args)
  local found = redis.call('ZRANGEBYSCORE', keys[1], '-inf', args.now, 'LIMIT', 0, args.limit)
  for _, id in ipairs(found) do redis.call('ZADD', keys[1], args.expires, id) end
  return found
end

-- Ends an erasure. If a process may still be writing objects of the article, it is repeated after that.
-- KEYS articles to be erased, articles being archived; arguments: id; now (ms). Returns whether it is complete.
local function erased(keys, args)
  local expires = tonumber(redis.call('ZSCORE', keys[2], args.id) or 0)
  if expires > args.now then
    redis.call('ZADD', keys[1], expires, args.id)
    return 0
  end
  redis.call('ZREM', keys[1], args.id)
  redis.call('ZREM', keys[2], args.id)
  return 1
end

register('begin', begin, {'allow-oom'})
register('swap', swap, {'allow-oom'})
register('claim_erasures', claim_erasures, {'allow-oom'})
register('erased', erased, {'allow-oom'})
