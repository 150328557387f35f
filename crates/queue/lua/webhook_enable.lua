-- webhook_enable: an endpoint that was disabled without the operator may be used again.
-- KEYS  1 queue of shard 0
-- args  id
-- ->    whether it was disabled so
local state = state_key(args.id)
if redis.call('HDEL', state, 'disabled_reason', 'disabled_at') == 0 then return reply(false) end
-- It has five days from now.
redis.call('HSET', state, 'consecutive_failures', 0)
redis.call('HDEL', state, 'failing_since', 'next_free')
return reply(true)
