-- cool: nobody is to try this for a while. A longer while that is set already stays.
-- KEYS  1 queue of the shard that has the cooldowns
-- args  name, length_ms, kept_ms: how long one is kept after its end, for a probe to find
-- ->    nothing
-- A field holds: its end (ms), the length that was asked for (ms), and until when a probe has its turn (ms).
local cooldowns, now = key('cooldowns'), now_ms()
local till = now + args.length_ms
local was = redis.call('HGET', cooldowns, args.name)
if was then till = math.max(till, tonumber(string.match(was, '^%d+')) or 0) end
redis.call('HSET', cooldowns, args.name, string.format('%d %d 0', till, args.length_ms))
-- The hash goes once nobody needs any of them.
local ttl = redis.call('PTTL', cooldowns)
if ttl < till - now + args.kept_ms then redis.call('PEXPIRE', cooldowns, till - now + args.kept_ms) end
redis.call('INCR', key('cooldowns_version'))
return reply(true)
