-- Categories and topics: their spellings, and how many published articles carry each. `names` is what the names of all records of
-- it begin with. Labels come as lines of kind (category or topic), folded form and spelling, separated by tabs.

-- Whether every label is written as it is known; one that nobody used before may be written as it comes.
local function well_spelt(names, labels)
  for kind, folded, spelling in string.gmatch(labels, '(%a+)\t([^\t\n]*)\t([^\t\n]*)') do
    local known = redis.call('HGET', names .. 'spellings', kind .. '\t' .. folded)
    if known and known ~= spelling then return false end
  end
  return true
end

-- Lets a published article count for these labels in place of those it counted for so far, which its head remembers. '' for one
-- that is published no more.
local function count_labels(names, head, labels)
  local counted, kept = {}, {}
  for line in string.gmatch(redis.call('HGET', head, 'labels') or '', '[^\n]+') do counted[line] = true end
  for kind, folded, spelling in string.gmatch(labels, '(%a+)\t([^\t\n]*)\t([^\t\n]*)') do
    local line = kind .. '\t' .. spelling
    kept[#kept + 1] = line
    redis.call('HSETNX', names .. 'spellings', kind .. '\t' .. folded, spelling)
    if not counted[line] then redis.call('ZINCRBY', names .. kind, 1, spelling) end
    counted[line] = nil
  end
  for line in pairs(counted) do
    local kind, spelling = string.match(line, '^(%a+)\t(.*)$')
    if tonumber(redis.call('ZINCRBY', names .. kind, -1, spelling)) <= 0 then redis.call('ZREM', names .. kind, spelling) end
  end
  if #kept > 0 then redis.call('HSET', head, 'labels', table.concat(kept, '\n')) else redis.call('HDEL', head, 'labels') end
end

-- KEYS spellings; ARGV 1 kind, 2 old folded, 3 new folded, 4 new spelling. From now on the old label, and all that became it, is
-- written as the new one. Answers MISSING where nobody used the old one, or OK and the spelling.
local function merge_labels(keys, argv)
  local kind = argv[1] .. '\t'
  local old = redis.call('HGET', keys[1], kind .. argv[2])
  if not old then return {'MISSING'} end
  local new = redis.call('HGET', keys[1], kind .. argv[3])
  if not new or new == old then new = argv[4] end
  local spellings = redis.call('HGETALL', keys[1])
  for i = 1, #spellings, 2 do
    if spellings[i + 1] == old and string.sub(spellings[i], 1, #kind) == kind then
      redis.call('HSET', keys[1], spellings[i], new)
    end
  end
  redis.call('HSET', keys[1], kind .. argv[3], new)
  return {'OK', new}
end

register('merge_labels', merge_labels)
