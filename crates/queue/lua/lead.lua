-- lead: makes a worker the one that looks after the queue for all, or lets it stay so.
-- KEYS  1 queue of shard 0
-- args  worker, length_ms: how long it leads without another call; 0 to give the lead up
-- ->    whether it leads
local leader = redis.call('GET', key('leader'))
if leader and leader ~= args.worker then return reply(false) end
if args.length_ms > 0 then
  redis.call('SET', key('leader'), args.worker, 'PX', args.length_ms)
else
  redis.call('DEL', key('leader'))
end
return reply(args.length_ms > 0)
