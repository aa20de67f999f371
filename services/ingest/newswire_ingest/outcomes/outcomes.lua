-- Stores the outcome of an event. KEYS record; ARGV 1 report (indexed, fanned_out, progressed), 2 retention (ms), then names and
-- numbers. Reports may be repeated or arrive out of order: the first `indexed` counts, and the highest totals.
local function note(keys, argv)
  if argv[1] == 'indexed' then
    for i = 3, #argv, 2 do redis.call('HSETNX', keys[1], argv[i], argv[i + 1]) end
  else
    local told, known = 0, 0
    for i = 3, #argv, 2 do
      told = told + tonumber(argv[i + 1])
      known = known + tonumber(redis.call('HGET', keys[1], argv[i]) or '0')
    end
    if told >= known then redis.call('HSET', keys[1], unpack(argv, 3)) end
  end
  redis.call('PEXPIRE', keys[1], argv[2])
end

register('note', note)
