-- redeliver: queues a delivery, as the end of its job did.
-- KEYS  1 queue, of jobs
-- args  id, request
-- ->    whether it was queued; one that is under way is not
return reply(add_delivery(args.id, args.request, now_ms()))
