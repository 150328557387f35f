#!lua flags=allow-oom
-- renew: extends this worker's lease on each job that it still holds.
-- KEYS  1 queue   2.. one job each
-- ARGV  1 group   2 worker   3 lease_ms
--       then for each job: entry, fence
-- ->    for each job: 1 renewed   0 lost
local queue, group, worker, lease_ms = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local renewed = {}
for i = 1, #KEYS - 1 do
  local job, entry, fence = KEYS[i + 1], ARGV[2 * i + 2], ARGV[2 * i + 3]
  local is = redis.pcall('HMGET', job, 'status', 'fence', 'worker')
  if is[1] == 'processing' and is[2] == fence and is[3] == worker then
    redis.call('HSET', job, 'lease', now + lease_ms)
    -- Resets the idle time without counting a delivery; FORCE also mends a group that was lost.
    redis.call('XCLAIM', queue, group, worker, 0, entry, 'FORCE', 'JUSTID')
    renewed[i] = 1
  else
    renewed[i] = 0
  end
end
return renewed
