#!lua flags=allow-oom
-- cooldowns: all of them; those that nobody has probed for long are forgotten.
-- KEYS  1 cooldowns
-- ARGV  1 how long one is kept after its end, in ms
-- ->    name, ms left (0 or less: a probe may reopen it), its length in ms, and so on
local all = redis.call('HGETALL', KEYS[1])
if #all == 0 then return all end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
for i = 1, #all, 2 do
  local till, length = string.match(all[i + 1], '^(%d+) (%d+)')
  if now - till > tonumber(ARGV[1]) then
    redis.call('HDEL', KEYS[1], all[i])
  else
    local at = #found
    found[at + 1], found[at + 2], found[at + 3] = all[i], till - now, tonumber(length)
  end
end
return found
