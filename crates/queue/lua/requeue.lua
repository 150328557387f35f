#!lua flags=allow-oom
-- requeue: gives an entry to a job that waits or runs but has none, which no worker would ever find.
-- KEYS  1 queue   2 later   3 job
-- ARGV  1 id
-- ->    1 queued again   0 nothing to mend
local queue, later, job, id = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local is = redis.call('HMGET', job, 'status', 'entry')
if is[1] ~= 'pending' and is[1] ~= 'processing' then return 0 end
if is[2] and #redis.call('XRANGE', queue, is[2], is[2]) > 0 then return 0 end
-- It sleeps, and is woken at its time.
if not is[2] and redis.call('ZSCORE', later, id) then return 0 end
local entry = redis.call('XADD', queue, '*', 'id', id)
redis.call('HSET', job, 'status', 'pending', 'entry', entry)
redis.call('HDEL', job, 'worker', 'started', 'lease', 'token')
return 1
