-- gov_unwait: nothing of a lane waits for a limit any more.
-- KEYS  1 queue of shard 0
-- args  limit, shard, lane, places: how many jobs may start in its place
-- ->    open: who may go on instead, see governance.lua
local now = now_ms()
redis.call('ZREM', waiters_key(args.limit), args.shard .. ' ' .. args.lane)
return reply({open = who_waits({[args.limit] = args.places}, now, now)})
