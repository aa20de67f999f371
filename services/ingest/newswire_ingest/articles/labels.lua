-- Categories and topics: the spelling of each account, and the number of published articles with each label. `names` is the prefix
-- of the keys:
--   {kind}            zset: spelling → articles               forms:{kind}   zset: folded form → articles
--   spelled:{kind}    zset: "folded TAB spelling", in the order of their bytes, of the spellings in use
--   of:{account}      hash: "kind TAB folded" → "articles TAB spelling"; the spelling of the account's first article that is out
--   merged            hash: "kind TAB folded" → the spelling that operators gave it for all accounts
--   merged:{account}  the same, given by an account for itself; what operators gave comes first
-- A label without articles is deleted, except for merged labels. Labels are passed as lines of kind (category or topic), folded
-- form, spelling, and "1" if the spelling differs from the draft, separated by tabs.

local LINE = '(%a+)\t([^\t\n]*)\t([^\t\n]*)\t(%d)'

-- Whether every label has the spelling of its merge, or else of its account. A label that is new to the account may have any spelling.
-- Also returns what `add_labels` needs: the account's record of each label by its field, '' for none.
local function labels_are_canonical(names, account, labels)
  local fields, spellings, rewritten, records = {}, {}, {}, {}
  for kind, folded, spelling, differs in string.gmatch(labels, LINE) do
    fields[#fields + 1] = kind .. '\t' .. folded
    spellings[#fields], rewritten[#fields] = spelling, differs == '1'
  end
  if #fields == 0 then return true, records end
  local merged, own = {}, {}
  if redis.call('EXISTS', names .. 'merged', names .. 'merged:' .. account) > 0 then -- few installations have any
    merged = redis.call('HMGET', names .. 'merged', unpack(fields))
    own = redis.call('HMGET', names .. 'merged:' .. account, unpack(fields))
  end
  local used = redis.call('HMGET', names .. 'of:' .. account, unpack(fields))
  for i, spelling in ipairs(spellings) do
    local known = merged[i] or own[i] or string.match(used[i] or '', '\t(.*)$')
    if known and known ~= spelling then return false end
    if not known and rewritten[i] then return false end
    records[fields[i]] = used[i] or ''
  end
  return true, records
end

-- The account's record of each label by its field, '' for none.
local function label_records(names, account, labels)
  local fields, records = {}, {}
  for i, label in ipairs(labels) do fields[i] = label.kind .. '\t' .. label.folded end
  for i, used in ipairs(redis.call('HMGET', names .. 'of:' .. account, unpack(fields))) do records[fields[i]] = used or '' end
  return records
end

-- Counts an article for labels; each has kind, folded and spelling. `records`: those of `label_records`, if they were read.
local function add_labels(names, account, labels, records)
  if #labels == 0 then return end
  local changed = {}
  records = records or label_records(names, account, labels)
  for _, label in ipairs(labels) do
    local field = label.kind .. '\t' .. label.folded
    if tonumber(redis.call('ZINCRBY', names .. label.kind, 1, label.spelling)) == 1 then
      redis.call('ZADD', names .. 'spelled:' .. label.kind, 0, label.folded .. '\t' .. label.spelling)
    end
    redis.call('ZINCRBY', names .. 'forms:' .. label.kind, 1, label.folded)
    local articles, first = string.match(records[field], '^(%d+)\t(.*)$')
    records[field] = string.format('%d', (tonumber(articles) or 0) + 1) .. '\t' .. (first or label.spelling)
    changed[#changed + 1], changed[#changed + 2] = field, records[field]
  end
  redis.call('HSET', names .. 'of:' .. account, unpack(changed))
end

local function take_label(names, account, kind, folded, spelling)
  if tonumber(redis.call('ZINCRBY', names .. kind, -1, spelling)) <= 0 then
    redis.call('ZREM', names .. kind, spelling)
    redis.call('ZREM', names .. 'spelled:' .. kind, folded .. '\t' .. spelling)
  end
  if tonumber(redis.call('ZINCRBY', names .. 'forms:' .. kind, -1, folded)) <= 0 then
    redis.call('ZREM', names .. 'forms:' .. kind, folded)
  end
  local field = kind .. '\t' .. folded
  local used = redis.call('HGET', names .. 'of:' .. account, field)
  local articles, first = string.match(used or '', '^(%d+)\t(.*)$')
  if not articles or tonumber(articles) <= 1 then
    redis.call('HDEL', names .. 'of:' .. account, field)
  else
    redis.call('HSET', names .. 'of:' .. account, field, string.format('%d', tonumber(articles) - 1) .. '\t' .. first)
  end
end

-- Counts a published article for these labels ('' if it is no longer published) instead of its previous ones, which its state stores
-- as lines of kind, folded form and spelling. Returns these lines of the new ones. `records`: see `add_labels`.
local function count_labels(names, account, previous, labels, records)
  local counted, kept, added = {}, {}, {}
  for line in string.gmatch(previous, '[^\n]+') do counted[line] = true end
  for kind, folded, spelling in string.gmatch(labels, LINE) do
    local line = kind .. '\t' .. folded .. '\t' .. spelling
    kept[#kept + 1] = line
    if not counted[line] then added[#added + 1] = {kind = kind, folded = folded, spelling = spelling} end
    counted[line] = nil
  end
  add_labels(names, account, added, records)
  for line in pairs(counted) do
    local kind, folded, spelling = string.match(line, '^(%a+)\t([^\t]*)\t(.*)$')
    if kind then take_label(names, account, kind, folded, spelling) end
  end
  return table.concat(kept, '\n')
end

-- Counts a published article for its labels, and stores them in its state.
local function store_labels(names, account, state_key, previous, labels)
  local lines = count_labels(names, account, previous, labels)
  if lines ~= '' then redis.call('HSET', state_key, 'labels', lines) elseif previous ~= '' then redis.call('HDEL', state_key, 'labels') end
end

-- The most frequent spelling of a label, or nil.
local function commonest(names, kind, folded)
  local found, most = nil, 0
  for _, member in ipairs(redis.call('ZRANGEBYLEX', names .. 'spelled:' .. kind, '[' .. folded .. '\t', '(' .. folded .. '\n')) do
    local spelling = string.sub(member, #folded + 2)
    local articles = tonumber(redis.call('ZSCORE', names .. kind, spelling) or 0)
    if articles > most then found, most = spelling, articles end
  end
  return found
end

-- How an account spells a label, or nil.
local function spelling_of(names, account, field)
  return string.match(redis.call('HGET', names .. 'of:' .. account, field) or '', '\t(.*)$')
end

-- KEYS merged; arguments: kind; old and new, the folded labels; spelling of the new one; names; account, '' for all. From now on, the
-- account, or every one, writes the old label, and all labels merged into it, as the new one. Returns MISSING if no article of theirs
-- has the old one, or OK and the spelling.
local function merge_labels(keys, args)
  local kind, old_form, new_form, names, account = args.kind, args.old, args.new, args.names, args.account
  local prefix = kind .. '\t'
  local old = redis.call('HGET', keys[1], prefix .. old_form)
  local new
  if account == '' then
    if not old and not redis.call('ZSCORE', names .. 'forms:' .. kind, old_form) then return {'MISSING'} end
    new = redis.call('HGET', keys[1], prefix .. new_form) or commonest(names, kind, new_form)
  else
    if not old and not spelling_of(names, account, prefix .. old_form) then return {'MISSING'} end
    new = redis.call('HGET', keys[1], prefix .. new_form) or spelling_of(names, account, prefix .. new_form)
  end
  if not new or new == old or old_form == new_form then new = args.spelling end
  if old then
    local merged = redis.call('HGETALL', keys[1])
    for i = 1, #merged, 2 do
      if merged[i + 1] == old and string.sub(merged[i], 1, #prefix) == prefix then redis.call('HSET', keys[1], merged[i], new) end
    end
  end
  redis.call('HSET', keys[1], prefix .. old_form, new, prefix .. new_form, new)
  return {'OK', new}
end

-- KEYS state; arguments: names, account, labels. Counts a restored article for its labels.
local function restore_labels(keys, args)
  store_labels(args.names, args.account, keys[1], redis.call('HGET', keys[1], 'labels') or '', args.labels)
  return 1
end

register('merge_labels', merge_labels)
register('restore_labels', restore_labels)
