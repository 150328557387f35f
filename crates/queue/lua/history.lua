-- Which jobs ended lately; it stands before each script that notes, or reads, these. An end costs one command, be it that of a lone
-- job: it is noted in `ends`, and counted later with many others, when it goes on to `recent`. Both are the newest first. Nothing of
-- this may fail a transition, so what is no list of ours is left alone.
local ENDS = key('ends')
-- Ends that are counted together at the latest.
local FOLD = 256
-- The most that are kept of the latest ends of a shard; the leader keeps fewer, where there are several shards.
local MOST_RECENT = 10000
local function recent_key() return PREFIX .. 'recent' end

local ended = {}
local last = {}
-- Notes an end: "<id> <c, f or x> <code> <time, ms>".
local function note_end(id, code, is_cancelled, now)
  -- What follows the id is mostly that of the job before.
  if last.code ~= code or last.now ~= now or last.is_cancelled ~= is_cancelled then
    local what = code == 200 and 'c' or is_cancelled and 'x' or 'f'
    last = {code = code, now = now, is_cancelled = is_cancelled, text = string.format(' %s %d %d', what, code, now)}
  end
  ended[#ended + 1] = id .. last.text
end

-- Counts the ends that are noted, and puts them among the latest ones.
local function fold_ends()
  local noted = redis.pcall('LRANGE', ENDS, -1000, -1)
  if noted.err or #noted == 0 then return end
  local by_text, by_minute, oldest_first = {}, {}, {}
  for i, line in ipairs(noted) do
    oldest_first[#noted + 1 - i] = line
    -- What follows the id.
    local text = string.sub(line, 37)
    by_text[text] = (by_text[text] or 0) + 1
  end
  for text, number in pairs(by_text) do
    local what, at = string.match(text, '^ ([cfx]) %d+ (%d+)$')
    if what then
      local name = math.floor(at / 60000) .. what
      by_minute[name] = (by_minute[name] or 0) + number
    end
  end
  redis.call('LTRIM', ENDS, 0, -#noted - 1)
  for name, number in pairs(by_minute) do add_to_minute(tonumber(string.sub(name, 1, -2)), string.sub(name, -1), number) end
  local recent = recent_key()
  redis.pcall('LPUSH', recent, unpack(oldest_first))
  redis.pcall('LTRIM', recent, 0, MOST_RECENT - 1)
  redis.pcall('PEXPIRE', recent, COUNTS_MS)
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
