-- leave: removes a consumer that holds nothing; one that holds something stays, or its jobs would be lost. A wake-up that
-- was on its way to it is given to the next.
-- KEYS  1 queue
-- args  worker
-- ->    whether it was removed
if redis.call('XLEN', QUEUE) > 0 or redis.call('EXISTS', key('lanes')) == 1 then wake('queue') end
if not group_info() then return reply(false) end
if #redis.call('XPENDING', QUEUE, GROUP, '-', '+', 1, args.worker) > 0 then return reply(false) end
return reply(redis.call('XGROUP', 'DELCONSUMER', QUEUE, GROUP, args.worker) >= 0)
