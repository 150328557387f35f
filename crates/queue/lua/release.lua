#!lua flags=allow-oom
-- release: a worker that stops hands its jobs back, to be reclaimed at once and without counting an attempt.
-- KEYS  1 queue   2.. one job each
-- ARGV  1 group   2 worker
--       then for each job: entry, fence
-- ->    for each job: 1 handed back   0 was not this worker's any more
local queue, group, worker = KEYS[1], ARGV[1], ARGV[2]
-- Longer than any lease: the next reclaim takes it.
local IDLE_MS = 7 * 24 * 3600 * 1000

local released = {}
for i = 1, #KEYS - 1 do
  local job, entry, fence = KEYS[i + 1], ARGV[2 * i + 1], ARGV[2 * i + 2]
  local is = redis.pcall('HMGET', job, 'status', 'fence', 'worker')
  if is[1] == 'processing' and is[2] == fence and is[3] == worker then
    redis.call('HINCRBY', job, 'handbacks', 1)
    redis.call('HSET', job, 'status', 'pending')
    redis.call('HDEL', job, 'worker', 'started', 'lease', 'token')
    redis.call('XCLAIM', queue, group, worker, 0, entry, 'IDLE', IDLE_MS, 'FORCE', 'JUSTID')
    released[i] = 1
  else
    released[i] = 0
  end
end
return released
