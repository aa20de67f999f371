-- Stores the outcomes of events. KEYS records, one for each report; arguments: retention (ms); reports, each with its kind (indexed,
-- fanned_out, progressed) and its fields by name. Reports may be repeated or arrive out of order: the first `indexed` counts, and the
-- highest totals.
local function note(keys, args)
  for at, report in ipairs(args.reports) do
    local record, names, values, reported = keys[at], {}, {}, 0
    for name, value in pairs(report.fields) do
      names[#names + 1] = name
      values[#values + 1] = name
      values[#values + 1] = value
      if report.kind == 'indexed' then
        redis.call('HSETNX', record, name, value)
      else
        reported = reported + value
      end
    end
    if report.kind ~= 'indexed' and #names > 0 then
      local known = 0
      for _, value in ipairs(redis.call('HMGET', record, unpack(names))) do known = known + tonumber(value or '0') end
      if reported >= known then redis.call('HSET', record, unpack(values)) end
    end
    redis.call('PEXPIRE', record, args.retention)
  end
end

register('note', note)
