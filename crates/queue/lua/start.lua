#!lua flags=allow-oom
-- start: makes this worker the holder of each job that it claimed, and gives it what to run.
-- The fence grows with each start; every later write must show it.
-- A full Redis must not keep jobs from ending, so this may use what memory is left (allow-oom).
-- KEYS  1 queue   2.. one job each
-- ARGV  1 group   2 worker   3 lease_ms   4 token of this call, so that its repetition changes nothing
--       then for each job: its entry
-- ->    for each job: {fence, request, owner, handbacks, history, progress, now_ms}   it is this worker's
--                     {0}    it has ended, was removed, or is no record; its entry is gone now
--                     {-1}   another worker's lease on it is still good
local queue, group, worker, lease_ms, token = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
-- No lease is longer: one that seems to be is the work of a clock that was set back.
local LONGEST_LEASE_MS = 3600 * 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local started = {}
for i = 1, #KEYS - 1 do
  local job, entry = KEYS[i + 1], ARGV[i + 4]
  -- What is no hash must not keep the others from being started.
  local was = redis.pcall('HMGET', job, 'status', 'fence', 'request', 'owner', 'handbacks',
    'history', 'progress', 'worker', 'started', 'lease', 'token')
  local status, history = was[1], was[6] or ''
  local left = status == 'processing' and (tonumber(was[10] or 0) or 0) - now or 0
  local repeated = status == 'processing' and was[8] == worker and was[11] == token
  if status ~= 'pending' and status ~= 'processing' then
    redis.call('XACK', queue, group, entry)
    redis.call('XDEL', queue, entry)
    started[i] = {0}
  elseif repeated then
    started[i] = {tonumber(was[2]), was[3] or '', was[4] or '', tonumber(was[5] or 0), history, was[7] or '', now}
  elseif left > 0 and left <= LONGEST_LEASE_MS and was[8] ~= worker then
    -- A lost group was made again and gave out a job that runs. Its entry gets the idle time that goes
    -- with the lease, so that it is reclaimed as soon as the lease ends. A job of this very worker is not one
    -- that runs: the worker knows those.
    redis.call('XCLAIM', queue, group, worker, 0, entry, 'IDLE', math.max(lease_ms - left, 0), 'JUSTID')
    started[i] = {-1}
  else
    local fence = (tonumber(was[2] or 0) or 0) + 1
    if status == 'processing' then
      history = history .. (was[8] or '?') .. ' ' .. (was[9] or '?') .. '\n'
      redis.call('HSET', job, 'history', history)
    end
    redis.call('HSET', job, 'status', 'processing', 'fence', fence, 'worker', worker,
      'started', now, 'lease', now + lease_ms, 'token', token)
    started[i] = {fence, was[3] or '', was[4] or '', tonumber(was[5] or 0) or 0, history, was[7] or '', now}
  end
end
return started
