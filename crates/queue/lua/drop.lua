#!lua flags=allow-oom
-- drop: removes an entry whose job is gone or has ended.
-- KEYS  1 queue   2 job
-- ARGV  1 group   2 entry
-- ->    1 removed   0 its job still waits or runs
local status = redis.call('HGET', KEYS[2], 'status')
if status == 'pending' or status == 'processing' then return 0 end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return redis.call('XDEL', KEYS[1], ARGV[2])
