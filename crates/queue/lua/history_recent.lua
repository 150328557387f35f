-- history_recent: the latest ends.
-- KEYS  1 queue
-- args  count: at most so many     what: 'c', 'f' or 'x' for only those that completed, failed or were cancelled; absent for all
-- ->    for each: "<id> <c, f or x> <code> <time, ms>", the newest first
local CHUNK = 500
local recent = recent_key()
fold_ends()
local found, from = {}, 0
while #found < args.count do
  local lines = redis.pcall('LRANGE', recent, from, from + CHUNK - 1)
  for _, line in ipairs(lines) do
    if #found < args.count and (not args.what or string.match(line, '^%S+ (%a) ') == args.what) then found[#found + 1] = line end
  end
  if #lines < CHUNK then break end
  from = from + CHUNK
end
return reply(found)
