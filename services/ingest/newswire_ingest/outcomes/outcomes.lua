-- Stores the outcome of an event. KEYS record; arguments: report (indexed, fanned_out, progressed), retention (ms), fields by name.
-- Reports may be repeated or arrive out of order: the first `indexed` counts, and the highest totals.
local function note(keys, args)
  local reported, known = 0, 0
  for name, value in pairs(args.fields) do
    if args.report == 'indexed' then
      redis.call('HSETNX', keys[1], name, value)
    else
      reported = reported + value
      known = known + tonumber(redis.call('HGET', keys[1], name) or '0')
    end
  end
  if args.report ~= 'indexed' and reported >= known then
    for name, value in pairs(args.fields) do redis.call('HSET', keys[1], name, value) end
  end
  redis.call('PEXPIRE', keys[1], args.retention)
end

register('note', note)
