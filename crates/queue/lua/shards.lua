#!lua flags=allow-oom
-- shards: raises the number of shards in use to what somebody wants; it never shrinks.
-- KEYS  1 shards
-- ARGV  1 the number wanted
-- ->    the number in use
local used, wanted = tonumber(redis.call('GET', KEYS[1]) or 1) or 1, tonumber(ARGV[1])
if wanted <= used then return used end
redis.call('SET', KEYS[1], wanted)
return wanted
