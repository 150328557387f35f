#!lua flags=allow-oom
-- requeue: gives an entry to a job that waits or runs but has none, which no worker would ever find.
-- KEYS  1 queue   2 job
-- ARGV  1 id
-- ->    1 queued again   0 nothing to mend
local is = redis.call('HMGET', KEYS[2], 'status', 'entry')
if is[1] ~= 'pending' and is[1] ~= 'processing' then return 0 end
if is[2] and #redis.call('XRANGE', KEYS[1], is[2], is[2]) > 0 then return 0 end
local entry = redis.call('XADD', KEYS[1], '*', 'id', ARGV[1])
redis.call('HSET', KEYS[2], 'status', 'pending', 'entry', entry)
redis.call('HDEL', KEYS[2], 'worker', 'started', 'lease', 'token')
return 1
