-- Reading articles whole, for a backup.

-- The records of an article as they are at one moment: name (behind the head's own) and fields of each, or nothing.
local function records_of(head)
  local fields = redis.call('HGETALL', head)
  if #fields == 0 then return {} end
  local found = {'', fields}
  for number = 1, tonumber(redis.call('HGET', head, 'version')) do
    local version = redis.call('HGETALL', head .. ':v:' .. number)
    if #version > 0 then
      found[#found + 1] = ':v:' .. number
      found[#found + 1] = version
    end
  end
  local scheduled = redis.call('HGETALL', head .. ':scheduled')
  if #scheduled > 0 then
    found[#found + 1] = ':scheduled'
    found[#found + 1] = scheduled
  end
  return found
end

-- KEYS head
local function article(keys)
  return records_of(keys[1])
end

-- KEYS stream, checkpoint; ARGV the last entry that is known, what names of heads begin with. Answers where the stream ends, the
-- checkpoint, the entries that are not known yet, and id and records of every article they are about: all of one moment.
local function rest(keys, argv)
  local last, entries = '0-0', {}
  if redis.call('EXISTS', keys[1]) == 1 then
    local about = redis.call('XINFO', 'STREAM', keys[1])
    for i = 1, #about, 2 do
      if about[i] == 'last-generated-id' then last = about[i + 1] end
    end
    entries = redis.call('XRANGE', keys[1], '(' .. argv[1], '+')
  end
  local articles, seen = {}, {}
  for _, entry in ipairs(entries) do
    local data = ''
    for i = 1, #entry[2], 2 do
      if entry[2][i] == '__data__' then data = entry[2][i + 1] end
    end
    local sound, event = pcall(cjson.decode, data)
    local id = sound and type(event) == 'table' and event.subject
    if type(id) == 'string' and not seen[id] then
      seen[id] = true
      articles[#articles + 1] = id
      articles[#articles + 1] = records_of(argv[2] .. id)
    end
  end
  return {last, redis.call('GET', keys[2]) or '', entries, articles}
end

register('article', article, {'no-writes'})
register('rest', rest, {'no-writes'})
