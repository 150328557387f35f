-- wake: wakes idle workers.
-- KEYS  1 queue
-- args  queue, expired: for what
-- ->    nothing
if args.expired then wake('expired') end
if args.queue then wake('queue') end
return reply(true)
