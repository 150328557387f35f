#!lua flags=allow-oom
-- probe: once a cooldown is over, one at a time may try whether it can be lifted.
-- KEYS  1 cooldowns
-- ARGV  1 name   2 how long the turn lasts, in ms
-- ->    1 it is the caller's turn, or there is no cooldown   0 it is not over, or it is another's turn
local was = redis.call('HGET', KEYS[1], ARGV[1])
if not was then return 1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local till, length, turn = string.match(was, '^(%d+) (%d+) (%d+)')
if now < tonumber(till) or now < tonumber(turn) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%s %s %d', till, length, now + ARGV[2]))
return 1
