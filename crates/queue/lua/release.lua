-- release: a worker that stops gives its jobs back, to be run by another at once and without counting an attempt. Their
-- entries keep their places in the queue.
-- KEYS  1 queue
-- args  worker, jobs: id, entry, fence; of one that holds limits also progress, and owed: what it has used of them so far
-- ->    how many were released; the others were no longer this worker's
local now, released = now_ms(), 0
for _, job in ipairs(args.jobs) do
  local record = job_key(job.id)
  local values = redis.pcall('HMGET', record, 'holder', 'cancel', 'owner')
  if is_held(values[1], job.fence, args.worker) then
    redis.call('HSET', record, 'holder', job.fence, 'queued', now)
    redis.call('HINCRBY', record, 'released', 1)
    if job.owed then redis.call('HSET', record, 'progress', job.progress, 'owed', job.owed) end
    free_entry(job.entry, args.worker)
    if is_heard() then tell(job.id, job.fence, false, values[2], 0, values[3]) end
    released = released + 1
  end
end
if released > 0 then wake('expired') end
publish()
return reply(released)
