-- The registry of workers; it stands before each script that reads it.
local WORKERS = key('workers')

-- Those that have told of themselves lately: name, seen (ms), figures (JSON). The others are forgotten.
local function known_workers(now, silent_ms)
  local found = {}
  local rows = redis.pcall('HGETALL', WORKERS)
  for i = 1, #rows, 2 do
    local seen, figures = string.match(rows[i + 1], '^(%d+) (.*)$')
    seen = whole(seen)
    if seen and now - seen <= silent_ms then
      found[#found + 1] = {name = rows[i], seen = seen, figures = figures}
    else
      redis.call('HDEL', WORKERS, rows[i])
    end
  end
  return found
end
