-- Field names and values in turn, as HSET takes them.
local function flat(fields)
  local list = {}
  for name, value in pairs(fields) do list[#list + 1], list[#list + 2] = name, value end
  return list
end
