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

-- The open lanes that are next, by their owners: all lanes of one share its virtual time.
-- -> owners: {time, weight, lanes = {{lane, weight, opened, taken, left}, …}}, the next first; is_paced: whether one of them may give no
--    more for the moment
local function next_owners(count)
  -- One more than are needed tells whether a lane is alone: its virtual time need not grow.
  local rows = redis.call('ZRANGE', LANES, 0, math.max(count - 1, 1), 'WITHSCORES')
  if #rows == 0 then return {}, false end
  local names, owners, by_name, is_paced = {}, {}, {}, false
  for i = 1, #rows, 2 do names[#names + 1] = rows[i] end
  local weights = redis.call('HMGET', WEIGHTS, unpack(names))
  for i, lane in ipairs(names) do
    local weight, opened, taken = read_weight(weights[i])
    local left = allowed(opened, taken)
    if left == 0 then
      is_paced = true
    else
      local name = owner_of(lane)
      local owner = by_name[name]
      if not owner then
        owner = {name = name, time = tonumber(rows[2 * i]), weight = weight, lanes = {}, number = i, next = 1,
          is_alone = #names == 1}
        owners[#owners + 1], by_name[name] = owner, owner
      end
      owner.lanes[#owner.lanes + 1] = {lane = lane, weight = weight, opened = opened, taken = taken, left = left, count = 0,
        is_known = weights[i]}
    end
  end
  return owners, is_paced
end

local function is_before(a, b) return a.time < b.time or a.time == b.time and a.number < b.number end

-- Lets the first of a heap sink to its place.
local function sink(heap)
  local i, size = 1, #heap
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

-- Decides how many jobs each lane gives, so many in all, as far as they may.
local function share_out(owners, count)
  local heap = {}
  for i, owner in ipairs(owners) do heap[i] = owner end
  while count > 0 and heap[1] do
    local owner = heap[1]
    local lane = owner.lanes[owner.next]
    for _ = 2, #owner.lanes do
      if lane.count < lane.left then break end
      owner.next = owner.next % #owner.lanes + 1
      lane = owner.lanes[owner.next]
    end
    if lane.count < lane.left then
      -- One that is alone gives all.
      local taken = #heap == 1 and #owner.lanes == 1 and math.min(count, lane.left) or 1
      lane.count, count, owner.has_given = lane.count + taken, count - taken, true
      owner.time, owner.next = owner.time + taken / owner.weight, owner.next % #owner.lanes + 1
    else
      heap[1] = heap[#heap]
      heap[#heap] = nil
    end
    sink(heap)
  end
end

-- Takes up to so many jobs out of what share_out has decided on, and adds them to ids.
local function take_shares(owners, ids)
  local given, kept = {}, {}
  for _, owner in ipairs(owners) do
    for _, lane in ipairs(owner.lanes) do
      if lane.count > 0 then
        local popped = redis.pcall('ZPOPMIN', lane_key(lane.lane), lane.count)
        -- What is no lane gives nothing.
        if popped.err then popped = {} end
        for i = 1, #popped, 2 do ids[#ids + 1] = popped[i] end
        lane.is_empty = #popped < 2 * lane.count
        if lane.opened then lane.taken = lane.taken + #popped / 2 end
        if not lane.is_empty then given[#given + 1] = lane_key(lane.lane) end
      end
    end
  end
  local all_have_more, emptied = #given == 0 or redis.call('EXISTS', unpack(given)) == #given, {}
  for _, owner in ipairs(owners) do
    for _, lane in ipairs(owner.lanes) do
      if lane.is_empty or (lane.count > 0 and not all_have_more and redis.call('EXISTS', lane_key(lane.lane)) == 0) then
        emptied[#emptied + 1] = lane.lane
        if lane.is_known then redis.call('HDEL', WEIGHTS, lane.lane) end
        if lane.lane ~= owner.name then redis.call('SREM', sublanes_key(owner.name), lane.lane) end
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

-- Takes up to so many jobs out of the open lanes, each owner's share of them.
-- -> their ids; is_paced: whether there are more, which may not be taken for some milliseconds
local function take_from_lanes(count)
  local ids, is_paced = {}, false
  while #ids < count do
    local owners, paced = next_owners(count - #ids)
    is_paced = is_paced or paced
    if #owners == 0 then break end
    share_out(owners, count - #ids)
    take_shares(owners, ids)
  end
  count_out(#ids)
  return ids, is_paced
end
