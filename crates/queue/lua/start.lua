-- start: makes this worker the holder of each job that it claimed, and gives it what to run.
-- The fence grows with each start; every later write must show it.
-- KEYS  1 queue   2.. one job each
-- ARGV  1 group   2 worker   3 lease_ms
--       then for each job: its entry
-- ->    for each job: {fence, request, owner, handbacks, history, progress, now_ms}   it is this worker's
--                     {0}    it has ended or was removed; its entry is gone now
--                     {-1}   another worker's lease on it is still good
local queue, group, worker, lease_ms = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local started = {}
for i = 1, #KEYS - 1 do
  local job, entry = KEYS[i + 1], ARGV[i + 3]
  local was = redis.call('HMGET', job, 'status', 'fence', 'request', 'owner', 'handbacks',
    'history', 'progress', 'worker', 'started', 'lease')
  local status, history = was[1], was[6] or ''
  local left = status == 'processing' and tonumber(was[10] or 0) - now or 0
  if status ~= 'pending' and status ~= 'processing' then
    redis.call('XACK', queue, group, entry)
    redis.call('XDEL', queue, entry)
    started[i] = {0}
  elseif left > 0 and left <= lease_ms and was[8] ~= worker then
    -- A lost group was made again and gave out a job that runs. Its entry gets the idle time that goes
    -- with the lease, so that it is reclaimed as soon as the lease ends. A job of this very worker is not one
    -- that runs: the worker knows those. It is one whose start was sent again, as its answer got lost.
    redis.call('XCLAIM', queue, group, worker, 0, entry, 'IDLE', lease_ms - left, 'JUSTID')
    started[i] = {-1}
  else
    local fence = tonumber(was[2] or 0) + 1
    if status == 'processing' then
      history = history .. was[8] .. ' ' .. was[9] .. '\n'
      redis.call('HSET', job, 'history', history)
    end
    redis.call('HSET', job, 'status', 'processing', 'fence', fence, 'worker', worker,
      'started', now, 'lease', now + lease_ms)
    started[i] = {fence, was[3] or '', was[4] or '', tonumber(was[5] or 0), history, was[7] or '', now}
  end
end
return started
