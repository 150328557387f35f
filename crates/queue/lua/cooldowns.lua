-- cooldowns: all of them; those that nobody has probed for long are forgotten.
-- KEYS  1 queue of the shard that has the cooldowns
-- args  kept_ms: how long one is kept after its end
-- ->    for each: name, left_ms (0 or less: a probe may lift it), length_ms
local cooldowns, now, found = key('cooldowns'), now_ms(), {}
local all = redis.call('HGETALL', cooldowns)
for i = 1, #all, 2 do
  local till, length = string.match(all[i + 1], '^(%d+) (%d+)')
  if not till or now - till > args.kept_ms then
    redis.call('HDEL', cooldowns, all[i])
  else
    found[#found + 1] = {name = all[i], left_ms = till - now, length_ms = tonumber(length)}
  end
end
return reply(found)
