-- history_fleet: the workers that have told of themselves lately; the others are forgotten.
-- KEYS  1 queue of the shard that has the workers
-- args  silent_ms: after which a worker is gone
-- ->    for each: name, seen (ms), figures (JSON)
local workers, now, found = key('workers'), now_ms(), {}
local rows = redis.pcall('HGETALL', workers)
for i = 1, #rows, 2 do
  local seen, figures = string.match(rows[i + 1], '^(%d+) (.*)$')
  seen = whole(seen)
  if seen and now - seen <= args.silent_ms then
    found[#found + 1] = {name = rows[i], seen = seen, figures = figures}
  else
    redis.call('HDEL', workers, rows[i])
  end
end
return reply(found)
