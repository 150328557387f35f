-- How many jobs were accepted and have ended in each minute of the last day; it stands before each script that counts, or reads, these.
-- Nothing of this may fail a transition, so what is no hash of ours is left alone.
local COUNTS_MS = 25 * 3600 * 1000
-- Minutes of one hash.
local PERIOD = 10
local function counts_key(period) return PREFIX .. 'counts:' .. period end

-- Adds to one of a minute's numbers: 'a' accepted, 'c' completed, 'f' failed, 'x' cancelled.
local function add_to_minute(minute, what, number)
  local counts = counts_key(math.floor(minute / PERIOD))
  -- Only of a new minute the hash may be new.
  if redis.pcall('HINCRBY', counts, minute % PERIOD .. what, number) == number then redis.pcall('PEXPIRE', counts, COUNTS_MS) end
end
