-- How a claim takes jobs from the lanes; it stands before that script.
-- A lane that was opened lately may be closed again by the first job that its limit does not admit. So it gives two jobs at
-- first, and twice as many each few milliseconds, until it has shown that it is open.
local PACE_MS, PACED_STEPS = 4, 9
local clock
local function allowed(opened, taken)
  if not opened then return math.huge end
  clock = clock or now_ms()
  local steps = math.floor(math.max(clock - opened, 0) / PACE_MS)
  return steps >= PACED_STEPS and math.huge or math.max(2 ^ (steps + 1) - taken, 0)
end

-- The open lanes that are next, with their virtual times. One more than are needed tells whether a lane is alone.
local function next_lanes(count) return redis.call('ZRANGE', LANES, 0, math.max(count - 1, 1), 'WITHSCORES') end

-- The lane among these that is the stream; nil if none is. rows: see next_lanes
local function find_stream_lane(rows)
  for i = 1, #rows, 2 do
    if is_stream_lane(rows[i]) then return rows[i] end
  end
end

-- How many of an owner's lane come before what waits in the stream.
local function count_before_stream(lane)
  local group = group_info()
  local first = redis.call('XRANGE', QUEUE, '(' .. (group and group['last-delivered-id'] or '0-0'), '+', 'COUNT', 1)[1]
  if not first then return math.huge end
  local before = place_in_lane(USUAL_SHARE.priority, tonumber(string.match(first[1], '^%d+')))
  local count = redis.pcall('ZCOUNT', lane_key(lane), '-inf', string.format('(%.17g', before))
  return type(count) == 'number' and count or 0
end

-- The lanes of these rows by their owners: all lanes of one share its virtual time.
-- -> owners: {time, weight, next, lanes = {{lane, left, count, …}, …}}, the next first; is_paced: whether one of them may give no more for
--    the moment
local function owners_of(rows)
  local names, owners, by_name, is_paced, streamed = {}, {}, {}, false, nil
  for i = 1, #rows, 2 do names[#names + 1] = rows[i] end
  local weights = redis.call('HMGET', WEIGHTS, unpack(names))
  for i, name in ipairs(names) do
    local weight, opened, taken = read_weight(weights[i])
    local left = allowed(opened, taken)
    if is_moving_lane(name) then
      -- It gives nothing any more.
    elseif left == 0 then
      is_paced = true
    else
      local lane, owner_name = {lane = name, left = left, count = 0}, owner_of(name)
      if weights[i] then lane.is_known, lane.weight, lane.opened, lane.taken = true, weight, opened, taken end
      local owner = by_name[owner_name]
      if not owner then
        owner = {time = tonumber(rows[2 * i]), weight = weight, lanes = {}, next = 1}
        owners[#owners + 1], by_name[owner_name] = owner, owner
      end
      if is_stream_lane(name) then lane.is_stream, owner.is_streamed, streamed = true, true, owner end
      owner.lanes[#owner.lanes + 1] = lane
    end
  end
  if streamed and #streamed.lanes > 1 then
    -- Its jobs start in their order: what waits in the stream goes last.
    table.sort(streamed.lanes, function(a, b) return not a.is_stream and b.is_stream end)
    local own = owner_of(streamed.lanes[1].lane)
    for _, lane in ipairs(streamed.lanes) do
      if lane.lane == own then lane.left = math.min(lane.left, count_before_stream(own)) end
    end
  end
  if #names == 1 and owners[1] then owners[1].is_alone = true end
  return owners, is_paced
end

local function is_before(a, b) return a.time < b.time or a.time == b.time and a.number < b.number end

-- Lets one of a heap sink to its place.
local function sink(heap, i)
  local size = #heap
  while true do
    local least = i
    for child = 2 * i, math.min(2 * i + 1, size) do
      if is_before(heap[child], heap[least]) then least = child end
    end
    if least == i then return end
    heap[i], heap[least] = heap[least], heap[i]
    i = least
  end
end

-- Lets an owner give so many jobs, or fewer.
-- -> how many
local function give(owner, count)
  local lane = owner.lanes[owner.next]
  for _ = 2, #owner.lanes do
    if lane.count < lane.left then break end
    owner.next = owner.next % #owner.lanes + 1
    lane = owner.lanes[owner.next]
  end
  local taken = math.min(count, lane.left - lane.count)
  if taken == 0 then return 0 end
  lane.count, owner.has_given = lane.count + taken, true
  owner.time = owner.time + taken / owner.weight
  if not owner.is_streamed then owner.next = owner.next % #owner.lanes + 1 end
  return taken
end

-- Decides how many jobs each lane gives, so many in all, as far as they may. owners: the next first
local function share_out(owners, count)
  local first = owners[1]
  if #owners == 1 and #first.lanes == 1 then
    give(first, count)
    return
  end
  -- Each gives one, until one that has given is next again.
  local next_time = math.huge
  for _, owner in ipairs(owners) do
    if count == 0 or owner.time >= next_time then break end
    count = count - give(owner, 1)
    next_time = math.min(next_time, owner.time)
  end
  if count == 0 then return end
  local heap = {}
  for i, owner in ipairs(owners) do heap[i], owner.number = owner, i end
  for i = math.floor(#heap / 2), 1, -1 do sink(heap, i) end
  while count > 0 and heap[1] do
    -- One that is alone gives all.
    local given = give(heap[1], #heap == 1 and #heap[1].lanes == 1 and count or 1)
    count = count - given
    if given == 0 then
      heap[1] = heap[#heap]
      heap[#heap] = nil
    end
    sink(heap, 1)
  end
end

-- Takes what share_out has decided on out of the lanes: new entries from the stream, and ids from all others.
-- taken: entries, ids; is_read: whether the stream has no new entries any more
local function take_shares(owners, taken, read)
  local given, kept = {}, {}
  for _, owner in ipairs(owners) do
    for _, lane in ipairs(owner.lanes) do
      if lane.count > 0 and lane.is_stream then
        local entries = read(lane.count)
        for _, entry in ipairs(entries) do taken.entries[#taken.entries + 1] = entry end
        lane.is_empty = #entries < lane.count
        taken.is_read = taken.is_read or lane.is_empty
      elseif lane.count > 0 then
        local popped = redis.pcall('ZPOPMIN', lane_key(lane.lane), lane.count)
        -- What is no lane gives nothing.
        if popped.err then popped = {} end
        for i = 1, #popped, 2 do taken.ids[#taken.ids + 1] = popped[i] end
        lane.is_empty = #popped < 2 * lane.count
        if lane.opened then lane.taken = lane.taken + #popped / 2 end
        if not lane.is_empty then given[#given + 1] = lane_key(lane.lane) end
      end
    end
  end
  local all_have_more, emptied = #given == 0 or redis.call('EXISTS', unpack(given)) == #given, {}
  for _, owner in ipairs(owners) do
    for _, lane in ipairs(owner.lanes) do
      if lane.is_empty or (lane.count > 0 and not lane.is_stream and not all_have_more and redis.call('EXISTS', lane_key(lane.lane)) == 0) then
        emptied[#emptied + 1] = lane.lane
        if lane.is_known then redis.call('HDEL', WEIGHTS, lane.lane) end
        if lane.is_stream then
          redis.call('DEL', STREAMED)
        elseif string.find(lane.lane, '\n', 1, true) then
          redis.call('SREM', sublanes_key(owner_of(lane.lane)), lane.lane)
        end
      else
        if owner.has_given and not owner.is_alone then kept[#kept + 1], kept[#kept + 2] = owner.time, lane.lane end
        if lane.count > 0 and lane.opened then
          write_weight(lane.lane, lane.weight, lane.left < math.huge and lane.opened or nil, lane.taken)
        end
      end
    end
  end
  if #emptied > 0 then redis.call('ZREM', LANES, unpack(emptied)) end
  if #kept > 0 then redis.call('ZADD', LANES, unpack(kept)) end
end

-- Moves some of what waits in the stream to lanes, as that of its owner is closed.
-- taken: gets entries that are none of jobs that wait
-- -> whether there may be more
local MOVED = 128
local function move_stream(owner, read, taken)
  local entries, moved = read(MOVED), {}
  for _, entry in ipairs(entries) do
    local id = entry[2] and entry[2][1] == 'id' and entry[2][2] or ''
    local is = redis.pcall('HMGET', job_key(id), 'holder', 'code', 'owner', 'share')
    if is.err or not is[1] or is[2] or read_holder(is[1]).runs then
      taken.entries[#taken.entries + 1] = entry
    else
      local ms, number = string.match(entry[1], '^(%d+)-(%d+)$')
      -- Those of one millisecond stay in their order.
      add_to_lane(is[3] or '', id, read_share(is[4]), ms + math.min(number, 127) / 128)
      redis.call('HSET', job_key(id), 'entry', '')
      moved[#moved + 1] = entry[1]
    end
  end
  remove_entries(moved)
  write_lanes()
  if #entries == MOVED then return true end
  forget_stream_lane(owner)
  return false
end

-- Takes up to so many jobs that wait: those in the stream first, unless that is a lane, and of the open lanes each owner's share.
-- read: gives so many new entries of the stream
-- -> entries; ids: of jobs that have no entry; is_read: whether the stream has no new entries any more; is_paced: whether there is more
--    to do in some milliseconds
local function take_waiting(count, read)
  local rows, taken, is_moving = next_lanes(count), {entries = {}, ids = {}}, false
  local streamed = find_stream_lane(rows)
  if streamed and is_moving_lane(streamed) then
    is_moving = move_stream(owner_of(streamed), read, taken)
    taken.is_paced, taken.is_read = is_moving, not is_moving
    rows = next_lanes(count)
    streamed = find_stream_lane(rows)
  end
  local left = count - #taken.entries
  -- Where there are more lanes than rows, it may be behind them.
  local is_lane = streamed or (#rows >= 2 * math.max(count, 2) and redis.call('EXISTS', STREAMED) == 1)
  if left > 0 and (not is_lane or (#rows == 2 and not is_moving)) then
    local found = read(left)
    taken.is_read = #found < left
    left = left - #found
    for _, entry in ipairs(taken.entries) do found[#found + 1] = entry end
    taken.entries = found
    -- It was alone, and there is nothing in it any more.
    if is_lane and taken.is_read then forget_stream_lane(owner_of(streamed)) end
    if is_lane then return taken end
  end
  while left > 0 and #rows > 0 do
    local owners, is_paced = owners_of(rows)
    taken.is_paced = taken.is_paced or is_paced
    if #owners == 0 then break end
    share_out(owners, left)
    take_shares(owners, taken, read)
    left = count - #taken.entries - #taken.ids
    rows = left > 0 and next_lanes(left) or {}
  end
  count_out(#taken.ids)
  return taken
end
