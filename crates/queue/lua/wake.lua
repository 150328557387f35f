#!lua flags=allow-oom
-- wake: queues jobs whose sleep is over.
-- KEYS  1 queue   2 later   3.. one job each
-- ARGV  the id of each job
-- ->    how many were queued
local queue, later, queued = KEYS[1], KEYS[2], 0
for i, id in ipairs(ARGV) do
  local job = KEYS[i + 2]
  if redis.call('ZREM', later, id) == 1 then
    local is = redis.pcall('HMGET', job, 'status', 'entry')
    if is[1] == 'pending' and not is[2] then
      redis.call('HSET', job, 'entry', redis.call('XADD', queue, '*', 'id', id))
      queued = queued + 1
    end
  end
end
return queued
