-- How many jobs were accepted and have ended in each minute, and which ended lately; it stands before each script that counts, or
-- reads, these. An end costs one command, be it that of a lone job: it is noted in `ends`, and counted later with many others,
-- when it goes on to `recent`. Nothing of this may fail a transition, so what is no list or hash of ours is left alone.
local ENDS, RECENT = key('ends'), key('recent')
-- Ends that are counted together at the latest.
local FOLD = 256
-- The most that are kept of the latest ends of a shard; the leader keeps fewer, where there are several shards.
local MOST_RECENT = 10000
-- A day, and the longest that an end waits to be counted.
local COUNTS_MS = 25 * 3600 * 1000
-- Minutes of one hash.
local PERIOD = 10
local function counts_key(period) return string.format('%scounts:%d', PREFIX, period) end

-- Adds to one of a minute's numbers: 'a' accepted, 'c' completed, 'f' failed, 'x' cancelled.
local function add_to_minute(minute, what, number)
  local counts = counts_key(math.floor(minute / PERIOD))
  -- Only of a new minute the hash may be new.
  if redis.pcall('HINCRBY', counts, minute % PERIOD .. what, number) == number then redis.pcall('PEXPIRE', counts, COUNTS_MS) end
end

local function count_accepted(number, now)
  if number > 0 and IS_JOBS then add_to_minute(math.floor(now / 60000), 'a', number) end
end

local ended = {}
-- Notes an end: "<id> <c, f or x> <code> <time, ms>".
local function note_end(id, code, is_cancelled, now)
  local what = code == 200 and 'c' or is_cancelled and 'x' or 'f'
  ended[#ended + 1] = string.format('%s %s %d %d', id, what, code, now)
end

-- Counts the ends that are noted, and puts them among the latest ones.
local function fold_ends()
  local noted = redis.pcall('LRANGE', ENDS, -1000, -1)
  if noted.err or #noted == 0 then return end
  local sums, by_minute, oldest_first = {}, {}, {}
  for i = #noted, 1, -1 do
    local line = noted[i]
    oldest_first[#oldest_first + 1] = line
    local what, at = string.match(line, '^%S+ ([cfx]) %d+ (%d+)$')
    if what then
      local minute = math.floor(at / 60000)
      local name = minute .. what
      local sum = by_minute[name]
      if not sum then
        sum = {minute = minute, what = what, number = 0}
        sums[#sums + 1], by_minute[name] = sum, sum
      end
      sum.number = sum.number + 1
    end
  end
  redis.call('LTRIM', ENDS, 0, -#noted - 1)
  for _, sum in ipairs(sums) do add_to_minute(sum.minute, sum.what, sum.number) end
  redis.pcall('LPUSH', RECENT, unpack(oldest_first))
  redis.pcall('LTRIM', RECENT, 0, MOST_RECENT - 1)
  redis.pcall('PEXPIRE', RECENT, COUNTS_MS)
end

-- Writes the ends that the script has noted.
local function write_ends()
  if #ended == 0 or not IS_JOBS then return end
  local length = redis.pcall('LPUSH', ENDS, unpack(ended))
  if type(length) ~= 'number' then return end
  if length >= FOLD then
    fold_ends()
  elseif length == #ended then
    redis.pcall('PEXPIRE', ENDS, COUNTS_MS)
  end
end
