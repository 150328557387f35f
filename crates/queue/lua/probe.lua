-- probe: once a cooldown is over, one worker at a time may try whether it can be lifted.
-- KEYS  1 queue of the shard that has the cooldowns
-- args  name, turn_ms: how long the turn lasts
-- ->    whether it is the caller's turn; so it is where there is no cooldown
local cooldowns, now = key('cooldowns'), now_ms()
local till, length, turn = string.match(redis.call('HGET', cooldowns, args.name) or '', '^(%d+) (%d+) (%d+)')
if not till then return reply(true) end
if now < tonumber(till) or now < tonumber(turn) then return reply(false) end
redis.call('HSET', cooldowns, args.name, string.format('%s %s %d', till, length, now + args.turn_ms))
return reply(true)
