-- history_minutes: how many jobs were accepted and have ended in each minute.
-- KEYS  1 queue
-- args  minutes: how many, this one included
-- ->    minute: the number of this one since the epoch
--       counts: for each minute that has any: minute, what ('a' accepted, 'c' completed, 'f' failed, 'x' cancelled), number
fold_ends()
local minute = math.floor(now_ms() / 60000)
local first, found = minute - args.minutes + 1, {}
for period = math.floor(first / PERIOD), math.floor(minute / PERIOD) do
  local fields = redis.pcall('HGETALL', counts_key(period))
  for i = 1, #fields, 2 do
    local of, what = string.match(fields[i], '^(%d)([acfx])$')
    local at = of and period * PERIOD + of
    if at and at >= first then found[#found + 1] = {at, what, whole(fields[i + 1]) or 0} end
  end
end
return reply({minute = minute, counts = found})
