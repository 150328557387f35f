-- webhook_remove: an endpoint is no more. Its history stays.
-- KEYS  1 queue of shard 0
-- args  id
-- ->    whether there was one
local definition = redis.call('HGET', DEFINITIONS, args.id)
if not definition then return reply(false) end
local name = decode(definition).name
if name and redis.call('HGET', NAMES, name) == args.id then redis.call('HDEL', NAMES, name) end
redis.call('HDEL', DEFINITIONS, args.id)
redis.call('DEL', state_key(args.id))
return reply(true)
