-- What waits in a shard; it stands before each script that looks at all of it.
-- Lanes that are looked at, of the open ones and of the closed ones: beyond that, the first ones speak for all.
local MOST_LANES = 256

-- Entries that were given to no worker yet, the oldest first.
local function new_entries(count)
  local info = group_info()
  local rows = redis.pcall('XRANGE', QUEUE, '(' .. (info and info['last-delivered-id'] or '0-0'), '+', 'COUNT', count)
  return rows.err and {} or rows
end

-- The id of an entry's job; nil where it names none.
local function id_of(entry) return entry[2] and entry[2][1] == 'id' and #entry[2][2] == 36 and entry[2][2] or nil end

-- The names of lanes: those that are next, and those that open next.
local function some_lanes()
  local lanes = {}
  for _, set in ipairs({key('lanes'), key('closed')}) do
    for _, lane in ipairs(redis.call('ZRANGE', set, 0, MOST_LANES - 1)) do lanes[#lanes + 1] = lane end
  end
  return lanes
end
