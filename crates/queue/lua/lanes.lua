-- How jobs wait in lanes, and come out of them; it stands before each script that moves one.
-- A lane is a sorted set of jobs that wait: those of one owner ('' for none), or those of its jobs that wait for one narrow limit
-- ('<owner>\n<name of the limit>'). Open lanes stand in `lanes` with their virtual time: the lowest is next, and each start adds
-- 1 / weight to it. A lane that waits for a limit stands in `closed` instead, with when it opens (ms).
local LANES, CLOSED, LANED, WEIGHTS, DEADLINES = key('lanes'), key('closed'), key('laned'), key('weights'), key('deadlines')
-- What each closed lane waits for, as a record's `waits_for` says it.
local REASONS = key('reasons')
local function lane_key(lane) return PREFIX .. 'lane:' .. lane end
local function sublanes_key(owner) return PREFIX .. 'sublanes:' .. owner end
local function owner_of(lane)
  local line = string.find(lane, '\n', 1, true)
  return line and string.sub(lane, 1, line - 1) or lane
end

-- A weight as it may be reckoned with.
local function sane_weight(value)
  local weight = tonumber(value)
  if not weight or weight ~= weight or weight <= 0 then return 1 end
  return math.min(math.max(weight, 1e-3), 1e3)
end

-- A record's `share`, "<priority> <weight> <max_wait, ms, or ->"; absent for the usual one.
local USUAL_SHARE = {priority = 3, weight = 1}
local function read_share(text)
  if not text then return USUAL_SHARE end
  local priority, weight, max_wait = string.match(text, '^([1-5]) (%S+) (%S+)$')
  if not priority then return USUAL_SHARE end
  return {priority = tonumber(priority), weight = sane_weight(weight), max_wait_ms = whole(max_wait)}
end

-- A job's place among its owner's: first by priority, then by time (ms, exact to 1/128).
local function place_in_lane(priority, at) return priority * 1e13 + at end

-- What `weights` has of a lane: its weight, 1 where nothing is there; and of one that was opened lately, when (ms) and how many
-- were taken from it since.
local function read_weight(text)
  if not text then return 1 end
  local weight, opened, taken = string.match(text, '^(%S+) ?(%d*) ?(%d*)$')
  return sane_weight(weight), tonumber(opened), tonumber(taken)
end

local function write_weight(lane, weight, opened, taken)
  if opened then
    redis.call('HSET', WEIGHTS, lane, string.format('%.17g %d %d', weight, opened, taken))
  elseif weight ~= 1 then
    redis.call('HSET', WEIGHTS, lane, string.format('%.17g', weight))
  else
    redis.call('HDEL', WEIGHTS, lane)
  end
end

-- Below zero it is only where Redis has lost a part of its data.
local function count_out(number)
  if number > 0 and redis.call('DECRBY', LANED, number) <= 0 then redis.call('DEL', LANED) end
end

-- Removes what is known of a lane without jobs.
local function forget_lane(lane)
  redis.call('ZREM', LANES, lane)
  if redis.call('ZREM', CLOSED, lane) == 1 then redis.call('HDEL', REASONS, lane) end
  redis.call('HDEL', WEIGHTS, lane)
  local owner = owner_of(lane)
  if owner ~= lane then redis.call('SREM', sublanes_key(owner), lane) end
end

-- Makes a lane that is neither open nor closed an open one, behind those that have waited longer. time: its virtual time, false for
-- none, where the caller knows.
-- -> whether it is open
local function open_lane(lane, weight, time)
  if time == nil then time = redis.call('ZSCORE', LANES, lane) end
  if time then return true end
  if redis.call('ZSCORE', CLOSED, lane) then return false end
  local first = redis.call('ZRANGE', LANES, 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', LANES, first and first + 0.999 / weight or 0, lane)
  return true
end

-- What is to be written by write_lanes: {lane, weight, jobs = {place, id, …}}.
local fresh, by_lane = {}, {}
local function add_to_lane(lane, id, share, at)
  local line = by_lane[lane]
  if not line then
    line = {lane = lane, jobs = {}}
    fresh[#fresh + 1], by_lane[lane] = line, line
  end
  line.weight = share.weight
  line.jobs[#line.jobs + 1], line.jobs[#line.jobs + 2] = place_in_lane(share.priority, at), id
  if share.max_wait_ms then redis.call('ZADD', DEADLINES, accepted_at(id) + share.max_wait_ms, id) end
end

-- While one owner's jobs are all that wait, they may stay in the stream, however many they are: then that is a lane of theirs. It
-- stands in `lanes` by this name, and its owner in `streamed`. Once its owner's own lane is closed it gives nothing, and its jobs are
-- moved there, some with each claim: then its name is the second.
local STREAMED = key('streamed')
local function stream_lane(owner) return owner .. '\n' end
local function moving_lane(owner) return owner .. '\n\n' end
local LINE = string.byte('\n')
local function is_stream_lane(lane) return string.byte(lane, -1) == LINE end
local function is_moving_lane(lane) return is_stream_lane(lane) and string.byte(lane, -2) == LINE end

-- Closes a lane until then (ms).
local function close_lane(lane, till, reason)
  redis.call('ZREM', LANES, lane)
  redis.call('ZADD', CLOSED, 'GT', till, lane)
  redis.call('HSET', REASONS, lane, reason)
  if redis.call('GET', STREAMED) ~= lane then return end
  local time = redis.call('ZSCORE', LANES, stream_lane(lane))
  if not time then return end
  redis.call('ZREM', LANES, stream_lane(lane))
  redis.call('ZADD', LANES, time, moving_lane(lane))
end

-- What no longer is a lane.
local function forget_stream_lane(owner)
  redis.call('ZREM', LANES, stream_lane(owner), moving_lane(owner))
  redis.call('HDEL', WEIGHTS, stream_lane(owner))
  redis.call('DEL', STREAMED)
end

-- What the stream takes, found out once.
-- room: how many more jobs of anybody: as many as wait there are to be fewer than those that run. Then they start soon, and whoever
-- waits in a lane is not behind many of another owner.
-- owner: whose lane it is; may_be_lane: whether it may become somebody's
-- has_lane: while all lanes are closed, whether jobs of an owner wait in its own, by owner. Others need not wait with them.
local stream
local function look_at_stream()
  stream = {room = 0}
  local lanes = redis.call('EXISTS', LANES, CLOSED)
  local open = lanes > 0 and redis.call('ZRANGE', LANES, 0, 1) or {}
  if #open > 0 then
    if #open == 1 and is_stream_lane(open[1]) and not is_moving_lane(open[1]) then stream.owner = owner_of(open[1]) end
    return
  end
  if lanes > 0 then stream.has_lane = {} end
  local entries = redis.call('XLEN', QUEUE)
  stream.room = entries == 0 and 1 or 2 * count_running() - entries
  stream.may_be_lane = true
end

local function waits_in_lane(owner)
  local has_lane = stream and stream.has_lane
  if not has_lane then return false end
  if has_lane[owner] == nil then has_lane[owner] = redis.call('EXISTS', lane_key(owner)) == 1 end
  return has_lane[owner]
end

-- Whether the stream takes a job. is_plain: whether it may wait behind any number of its owner's
local function takes_one(owner, weight, is_plain)
  if not stream then look_at_stream() end
  if stream.owner then return is_plain and stream.owner == owner end
  if waits_in_lane(owner) then return false end
  stream.room = stream.room - 1
  if stream.room >= 0 then return true end
  if not (is_plain and stream.may_be_lane) then return false end
  redis.call('ZADD', LANES, 0, stream_lane(owner))
  redis.call('SET', STREAMED, owner)
  if weight ~= 1 then write_weight(stream_lane(owner), weight) end
  stream.owner = owner
  return true
end

-- Puts a job where it waits: into the stream, or into its owner's lane. at: its place in that; must_wait: not into the stream; is_last:
-- whether it came just now
-- -> its entry, which the caller writes; nil where it has none
local function place_job(id, owner, share, at, must_wait, is_last)
  owner = owner or ''
  if not IS_JOBS then return enqueue(id) end
  local is_plain = is_last and share.priority == USUAL_SHARE.priority and not share.max_wait_ms
  if not must_wait and takes_one(owner, share.weight, is_plain) then return enqueue(id) end
  -- The next ones must not overtake it, unless its lane is closed.
  if must_wait or not waits_in_lane(owner) then
    stream = stream or {}
    stream.room, stream.may_be_lane = 0, false
  end
  add_to_lane(owner, id, share, at)
end

-- Writes what add_to_lane has noted.
-- -> whether a worker can take one of them
local function write_lanes()
  if #fresh == 0 then return false end
  local placed, is_open, names = 0, false, {}
  for i, line in ipairs(fresh) do names[i] = line.lane end
  local weights, times = redis.call('HMGET', WEIGHTS, unpack(names)), redis.call('ZMSCORE', LANES, unpack(names))
  for i, line in ipairs(fresh) do
    local lane, jobs = line.lane, line.jobs
    local added = redis.pcall('ZADD', lane_key(lane), unpack(jobs))
    if type(added) == 'number' then
      placed = placed + added
      local weight, opened, taken = read_weight(weights[i])
      if weight ~= line.weight then write_weight(lane, line.weight, opened, taken) end
      is_open = open_lane(lane, line.weight, times[i]) or is_open
    else
      -- Somebody else's key stands there.
      for i = 2, #jobs, 2 do redis.call('HSET', job_key(jobs[i]), 'entry', enqueue(jobs[i])) end
      is_open = true
    end
  end
  if placed > 0 then redis.call('INCRBY', LANED, placed) end
  return is_open
end

-- The lane in which the job of this record would wait.
local function lane_of(owner, sublane) return sublane and (owner or '') .. '\n' .. sublane or owner or '' end

-- Takes a job out of a lane.
-- -> whether it was there
local function leave_lane(lane, id)
  if redis.pcall('ZREM', lane_key(lane), id) ~= 1 then return false end
  count_out(1)
  redis.call('ZREM', DEADLINES, id)
  if redis.call('EXISTS', lane_key(lane)) == 0 then forget_lane(lane) end
  return true
end
