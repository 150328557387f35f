-- repair_record: gives an entry to a job that waits or runs but has none, which no worker would ever find.
-- KEYS  1 queue
-- args  id
-- ->    whether it was queued again
local RECENT_MS = 60 * 1000
local id, record = args.id, job_key(args.id)
local is = redis.call('HMGET', record, 'request', 'code', 'queued')
local now = now_ms()
-- It has ended meanwhile, or is delayed and promoted at its time.
if not is[1] or is[2] or redis.call('ZSCORE', key('delayed'), id) then return reply(false) end
-- It was released, promoted or queued by another check just now.
if is[3] and now - is[3] < RECENT_MS then return reply(false) end
-- One that runs is left to its holder; whoever claims this entry waits for the end of the lease.
redis.call('HSET', record, 'queued', now, 'entry', enqueue(id))
wake('queue')
return reply(true)
