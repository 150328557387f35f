-- renew: extends this worker's lease on each job that it still holds.
-- KEYS  1 queue
-- args  worker, lease_ms, jobs: id, entry, fence
-- ->    for each job 'renewed', 'cancelled' (renewed, and to be ended as cancelled), or 'lost': it is another's by now
local now, renewed = now_ms(), {}
for i, job in ipairs(args.jobs) do
  local values = redis.pcall('HMGET', job_key(job.id), 'holder', 'cancel')
  local holder = values[1]
  if is_held(holder, job.fence, args.worker) then
    local is = read_holder(holder)
    redis.call('HSET', job_key(job.id), 'holder',
      write_holder(is.fence, is.worker, is.token, tonumber(is.started), now + args.lease_ms))
    -- Resets the idle time without counting a delivery; FORCE also mends a group that was lost.
    with_group('XCLAIM', QUEUE, GROUP, args.worker, 0, job.entry, 'FORCE', 'JUSTID')
    renewed[i] = values[2] and 'cancelled' or 'renewed'
  else
    renewed[i] = 'lost'
  end
end
return reply(renewed)
