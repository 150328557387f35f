#!lua flags=allow-oom
-- progress: the holder of the fence notes how far its job has come; anyone else changes nothing.
-- KEYS  1 job
-- ARGV  1 worker   2 fence   3 progress
-- ->    1 noted   0 lease lost
local is = redis.call('HMGET', KEYS[1], 'status', 'fence', 'worker')
if is[1] ~= 'processing' or is[2] ~= ARGV[2] or is[3] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'progress', ARGV[3])
return 1
