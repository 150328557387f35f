-- gov_reset: nothing of a limit is used any more. Its window stays, as does what running jobs have reserved.
-- KEYS  1 queue of shard 0
-- args  name
-- ->    whether something was counted
local name = limit_key(args.name)
local s = tonumber(redis.call('HGET', name, 's') or nil)
if not s then return reply(false) end
-- A window that has not begun is the work of a clock that was wrong.
if s > now_ms() then redis.call('DEL', name) else redis.call('HSET', name, 'u', 0) end
return reply(true)
