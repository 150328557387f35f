-- What waits in a shard; it stands before each script that looks at all of it.
-- Lanes that are looked at, of the open ones and of the closed ones: beyond that, the first ones speak for all.
local MOST_LANES = 256

-- The id of an entry's job; nil where it names none.
local function id_of(entry) return entry[2] and entry[2][1] == 'id' and #entry[2][2] == 36 and entry[2][2] or nil end

-- Jobs of entries that were given to no worker yet, up to so many, the oldest first. Among them stand entries that were claimed by their id,
-- see claim.lua: those run.
local MOST_CLAIMED = 256
local function new_jobs(count)
  local info, ids = group_info(), {}
  local from = '(' .. (info and info['last-delivered-id'] or '0-0')
  local rows = redis.pcall('XRANGE', QUEUE, from, '+', 'COUNT', count + MOST_CLAIMED)
  for _, entry in ipairs(rows) do
    local id = #ids < count and id_of(entry)
    local holder = id and redis.pcall('HGET', job_key(id), 'holder')
    if id and not (type(holder) == 'string' and read_holder(holder).runs) then ids[#ids + 1] = id end
  end
  return ids
end

-- The names of lanes: those that are next, and those that open next.
local function some_lanes()
  local lanes = {}
  for _, set in ipairs({key('lanes'), key('closed')}) do
    for _, lane in ipairs(redis.call('ZRANGE', set, 0, MOST_LANES - 1)) do lanes[#lanes + 1] = lane end
  end
  return lanes
end
