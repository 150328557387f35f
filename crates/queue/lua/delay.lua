-- delay: the holder of the fence gives its job back until a retry time, so that its slot is free meanwhile; anyone else
-- changes nothing. The next start goes on from the progress, and does not count as an attempt.
-- KEYS  1 queue
-- args  worker, id, entry, fence, delay_ms, progress
-- ->    whether it is delayed, be it by an earlier try; if not, the job is another's by now
local record, delayed = job_key(args.id), key('delayed')
local holder = redis.call('HGET', record, 'holder')
if not is_held(holder, args.fence, args.worker) then
  local is = read_holder(holder)
  return reply(not is.runs and is.fence == args.fence and redis.call('ZSCORE', delayed, args.id) ~= false)
end
redis.call('ZADD', delayed, now_ms() + args.delay_ms, args.id)
redis.call('HSET', record, 'holder', args.fence, 'progress', args.progress)
redis.call('HINCRBY', record, 'released', 1)
remove_entries({args.entry})
return reply(true)
