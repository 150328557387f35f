#!lua flags=allow-oom
-- cool: nobody is to try this for a while. A longer while that is set already stays.
-- KEYS  1 cooldowns
-- ARGV  1 name   2 length_ms
-- ->    nothing
-- A field holds: until when (ms), the length that was asked for (ms), and until when a probe has the turn (ms).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local was = redis.call('HGET', KEYS[1], ARGV[1])
local till = now + ARGV[2]
if was then till = math.max(till, tonumber(string.match(was, '^%d+'))) end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %d 0', till, ARGV[2]))
