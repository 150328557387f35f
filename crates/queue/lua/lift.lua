-- lift: removes a cooldown.
-- KEYS  1 queue of the shard that has the cooldowns
-- args  name
-- ->    whether there was one
local found = redis.call('HDEL', key('cooldowns'), args.name) == 1
if found then redis.call('INCR', key('cooldowns_version')) end
return reply(found)
