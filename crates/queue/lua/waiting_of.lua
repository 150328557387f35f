-- waiting_of: how many jobs of an owner wait in its lanes, and in the stream while that is one of them.
-- KEYS  1 queue
-- args  owner
-- ->    their number
local waiting = redis.call('ZCARD', key('lane:' .. args.owner))
for _, lane in ipairs(redis.call('SMEMBERS', key('sublanes:' .. args.owner))) do
  if lane ~= args.owner then waiting = waiting + redis.call('ZCARD', key('lane:' .. lane)) end
end
if redis.call('GET', key('streamed')) == args.owner then waiting = waiting + redis.call('XLEN', QUEUE) - count_running() end
return reply(math.max(waiting, 0))
