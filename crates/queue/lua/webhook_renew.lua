-- webhook_renew: attempts that take long keep their slots.
-- KEYS  1 queue of shard 0
-- args  slots: endpoint, attempt; lease_ms, kept_ms
-- ->    how many of them had one
local lease_end, renewed = now_ms() + args.lease_ms, 0
for _, slot in ipairs(args.slots) do
  local running = running_key(slot.endpoint)
  if redis.call('ZSCORE', running, slot.attempt) then
    redis.call('ZADD', running, 'XX', lease_end, slot.attempt)
    redis.call('PEXPIRE', running, args.lease_ms + args.kept_ms)
    renewed = renewed + 1
  end
end
return reply(renewed)
