#!lua flags=allow-oom
-- park: the holder of the fence puts its job to sleep until a retry time, so that its slot is free meanwhile;
-- anyone else changes nothing. The next start goes on from the progress, and does not count as an attempt.
-- KEYS  1 queue   2 later   3 job
-- ARGV  1 group   2 worker   3 entry   4 fence   5 id   6 sleep_ms   7 progress
-- ->    1 it sleeps   2 it did so already   0 lease lost
local queue, later, job = KEYS[1], KEYS[2], KEYS[3]
local group, worker, entry, fence, id, sleep_ms, progress = unpack(ARGV)
local is = redis.call('HMGET', job, 'status', 'fence', 'worker')
if is[1] == 'pending' and is[2] == fence and redis.call('ZSCORE', later, id) then return 2 end
if is[1] ~= 'processing' or is[2] ~= fence or is[3] ~= worker then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', later, now + sleep_ms, id)
redis.call('HSET', job, 'status', 'pending', 'progress', progress)
redis.call('HINCRBY', job, 'handbacks', 1)
redis.call('HDEL', job, 'entry', 'worker', 'started', 'lease', 'token')
redis.call('XACK', queue, group, entry)
redis.call('XDEL', queue, entry)
return 1
