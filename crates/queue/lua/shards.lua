-- shards: the number of shards in use, which this raises where it is smaller than what is wanted.
-- KEYS  1 queue of shard 0
-- args  wanted
-- ->    the number in use
local used = tonumber(redis.call('GET', key('shards')) or 1) or 1
if args.wanted <= used then return reply(used) end
redis.call('SET', key('shards'), args.wanted)
return reply(args.wanted)
