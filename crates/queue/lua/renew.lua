-- renew: extends this worker's lease on each job that it still holds.
-- KEYS  1 queue
-- args  worker, lease_ms, jobs: id, entry, fence
-- ->    for each job whether it was renewed; if not, the job is another's by now
local now, renewed = now_ms(), {}
for i, job in ipairs(args.jobs) do
  local holder = redis.pcall('HGET', job_key(job.id), 'holder')
  if type(holder) == 'string' and is_held(holder, job.fence, args.worker) then
    local is = read_holder(holder)
    redis.call('HSET', job_key(job.id), 'holder',
      write_holder(is.fence, is.worker, is.token, tonumber(is.started), now + args.lease_ms))
    -- Resets the idle time without counting a delivery; FORCE also mends a group that was lost.
    with_group('XCLAIM', QUEUE, GROUP, args.worker, 0, job.entry, 'FORCE', 'JUSTID')
    renewed[i] = true
  else
    renewed[i] = false
  end
end
return reply(renewed)
