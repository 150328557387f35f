-- What the scripts of limits share; it stands before each script whose name begins with gov_ and that runs on shard 0.
-- What was used of a limit is a hash: s and e, the current window's start and end (ms; no e for one that never ends), u and r,
-- what is used and what is reserved in it, and w, the definition that e follows from. It is begun anew by whoever first looks at it
-- after its end. s is what tells one window from another.
-- A permit is what a job holds. It is packed as 1 and how many limits (a byte and two); what is its own: fence, and how much it holds
-- of each limit; and what it has in common with those that were given out with it: since (ms), owner, and each limit's name and s. Numbers are
-- doubles, and texts end with a NUL. For a limit of jobs that run, s is RUNNING, and it holds 1, or 0 while the job is suspended.
local PERMITS = key('permits')
local RUNNING = -1
local DAY_MS = 24 * 3600 * 1000
-- How long who waits is known without being asked for again, and how long before it is told once more by an admission.
local WAITER_MS, TOLD_MS = 3600 * 1000, 500
-- What a limit can count: beyond it numbers are no longer exact.
local MOST = 9e15

local function limit_key(name) return key('limit:' .. name) end
local function running_key(name) return key('running:' .. name) end
local function waiters_key(name) return key('waiters:' .. name) end

-- The first day of a month, in days since 1970; and the year and the month of a day. Years begin in March here, so that a leap day
-- is a year's last one.
local function first_day(year, month)
  if month <= 2 then year = year - 1 end
  local era = math.floor(year / 400)
  local of_era = year - era * 400
  local day = math.floor((153 * ((month + 9) % 12) + 2) / 5)
  return era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100) + day - 719468
end
local function month_of(day)
  day = day + 719468
  local era = math.floor(day / 146097)
  day = day - era * 146097
  local year = math.floor((day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365)
  day = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = (math.floor((5 * day + 2) / 153) + 2) % 12 + 1
  return year + era * 400 + (month <= 2 and 1 or 0), month
end

-- Start and end of the window that `now` is in. Definitions: 'n' (it never ends), 'r<ms>' (rolling: windows one behind the other
-- from `anchor` on), 'd', 'w' (from Monday on), 'm', 'q<month in which a first quarter begins>', 'y'.
local function window(definition, anchor, now)
  local kind, number = string.sub(definition, 1, 1), tonumber(string.sub(definition, 2))
  if kind == 'n' then return now, nil end
  if kind == 'r' then
    local start = anchor + math.floor((now - anchor) / number) * number
    return start, start + number
  end
  local day = math.floor(now / DAY_MS)
  if kind == 'd' then return day * DAY_MS, (day + 1) * DAY_MS end
  if kind == 'w' then
    -- 1970 began with a Thursday.
    day = day - (day + 3) % 7
    return day * DAY_MS, (day + 7) * DAY_MS
  end
  local year, month = month_of(day)
  local since, months = 0, 1
  if kind == 'q' then since, months = (month - number) % 3, 3 end
  if kind == 'y' then since, months = month - 1, 12 end
  local first = year * 12 + month - 1 - since
  local function start_of(index) return first_day(math.floor(index / 12), index % 12 + 1) * DAY_MS end
  return start_of(first), start_of(first + months)
end

-- Limits as they come in arguments: for each, in a list, which costs less to read than a map: name, max, window, kind ('requests',
-- 'tokens', 'cost' or 'running'), and 1 if it concerns a part of its owner's jobs only, else 0.
local function named(rows)
  local limits = {}
  for i, row in ipairs(rows) do
    limits[i] = {name = row[1], max = row[2], window = row[3], kind = row[4], is_narrow = row[5] == 1}
  end
  return limits
end

-- A limit as it is now.
-- -> s, e, u, r; is_new: whether its window is to be written
local function read_limit(limit, now)
  if limit.kind == 'running' then
    return {s = RUNNING, u = 0, r = redis.call('ZCARD', running_key(limit.name))}
  end
  local is = redis.call('HMGET', limit_key(limit.name), 's', 'e', 'u', 'r', 'w')
  local s, e = tonumber(is[1] or nil), tonumber(is[2] or nil)
  if not s then
    s, e = window(limit.window, now, now)
    return {s = s, e = e, u = 0, r = 0, is_new = true}
  end
  if e and e <= now then
    local start, stop = window(limit.window, s, now)
    -- Windows only move forward.
    return {s = math.max(start, e), e = stop, u = 0, r = 0, is_new = true}
  end
  local state = {s = s, e = e, u = tonumber(is[3]) or 0, r = tonumber(is[4]) or 0}
  if is[5] ~= limit.window then
    -- An edit changes no usage: the window goes on, until its new end.
    local _, stop = window(limit.window, s, now)
    state.e, state.is_new = stop, true
  end
  return state
end

local function write_limit(limit, state)
  local name = limit_key(limit.name)
  if not state.is_new then return redis.call('HSET', name, 'r', state.r) end
  redis.call('HSET', name, 's', state.s, 'u', state.u, 'r', state.r, 'w', limit.window)
  if state.e then
    redis.call('HSET', name, 'e', state.e)
    -- What it holds is over then.
    redis.call('PEXPIREAT', name, state.e + DAY_MS)
  else
    redis.call('HDEL', name, 'e')
    redis.call('PERSIST', name)
  end
end

-- How many limits; none for one of an earlier version, which begins with the 0 of its fence.
local function count_limits(packed)
  local version, low, high = string.byte(packed, 1, 3)
  return version == 1 and low + 256 * high
end
local function pack_count(limits) return string.char(1, limits % 256, math.floor(limits / 256)) end

-- How the two parts of a permit of so many limits are packed. The first begins at OWN.
local OWN = 4
local own_formats = {}
local function own_format(limits)
  local format = own_formats[limits]
  if not format then format = '<' .. string.rep('d', limits + 1); own_formats[limits] = format end
  return format
end
local function common_format(limits) return '<ds' .. string.rep('sd', limits) end

-- A permit of an earlier version: fence, since, owner, then for each limit its name, s, and how much.
local function read_early_permit(packed)
  local fence, since, owner, at = struct.unpack('<dds', packed)
  local permit, n = {fence, since, owner}, 3
  while at <= #packed do
    permit[n + 1], permit[n + 2], permit[n + 3], at = struct.unpack('<sdd', packed, at)
    n = n + 3
  end
  return permit
end

-- A permit as a list: {fence, since, owner, then for each limit name, s, amount}.
local function read_permit(packed)
  local limits = count_limits(packed)
  if not limits then return read_early_permit(packed) end
  local own = {struct.unpack(own_format(limits), packed, OWN)}
  local common = {struct.unpack(common_format(limits), packed, own[#own])}
  local permit = {own[1], common[1], common[2]}
  for k = 1, limits do
    permit[3 * k + 1], permit[3 * k + 2], permit[3 * k + 3] = common[2 * k + 1], common[2 * k + 2], own[k + 1]
  end
  return permit
end

local function write_permit(permit)
  local limits = (#permit - 3) / 3
  local own, common = {permit[1]}, {permit[2], permit[3]}
  for k = 1, limits do
    own[k + 1], common[2 * k + 1], common[2 * k + 2] = permit[3 * k + 3], permit[3 * k + 1], permit[3 * k + 2]
  end
  return pack_count(limits) .. struct.pack(own_format(limits), unpack(own)) .. struct.pack(common_format(limits), unpack(common))
end

-- What the jobs with these ids hold, as it is packed; false for nothing.
local function read_permits(ids) return redis.call('HMGET', PERMITS, unpack(ids)) end

-- Of the limits with these names: who waits for room, the one first that has waited longest, and how many jobs of it may start.
-- Who is told goes to the end of the line, and stays in it until nothing of it waits any more.
-- places: for each name how many jobs there is room for     since: only those who were told before
-- -> a list of limit, shard, lane, places
local function who_waits(places, since, now)
  local open, lines, names = {}, {}, {}
  for name in pairs(places) do
    names[#names + 1] = name
    lines[#lines + 1] = waiters_key(name)
  end
  if #lines == 0 or redis.call('EXISTS', unpack(lines)) == 0 then return open end
  for i, name in ipairs(names) do
    local room = math.min(places[name], 64)
    local waiters = room > 0 and redis.call('ZRANGEBYSCORE', lines[i], '-inf', since, 'LIMIT', 0, room) or {}
    for j, waiter in ipairs(waiters) do
      local shard, lane = string.match(waiter, '^(%d+) (.*)$')
      local share = math.floor(room / #waiters) + (j <= room % #waiters and 1 or 0)
      if shard then open[#open + 1] = {limit = name, shard = tonumber(shard), lane = lane, places = share} end
      redis.call('ZADD', lines[i], now, waiter)
    end
  end
  return open
end
