-- history_providers: what calls to providers have come to.
-- KEYS  1 queue of the shard that has the figures
-- args  periods: how many, this one included
-- ->    the sums, "<e or a bucket's number>\n<provider>\n<model>" and its number
local PERIOD_MS = 300000
local period, sums = math.floor(now_ms() / PERIOD_MS), {}
for at = period - args.periods + 1, period do
  local fields = redis.pcall('HGETALL', key('calls:' .. string.format('%d', at)))
  for i = 1, #fields, 2 do sums[fields[i]] = (sums[fields[i]] or 0) + (whole(fields[i + 1]) or 0) end
end
local found = {}
for field, number in pairs(sums) do found[#found + 1] = {field, number} end
return reply(found)
