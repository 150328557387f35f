-- progress: the holder of the fence notes how far its job has come; anyone else changes nothing.
-- KEYS  1 queue
-- args  worker, id, fence, progress
-- ->    whether it was noted; if not, the job is another's by now
local record = job_key(args.id)
if not is_held(redis.call('HGET', record, 'holder'), args.fence, args.worker) then return reply(false) end
redis.call('HSET', record, 'progress', args.progress)
return reply(true)
