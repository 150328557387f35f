-- gov_admit: reserves all that a job asks for of its limits, or nothing. Safe to repeat: what its permit holds is not reserved again.
-- KEYS  1 queue of shard 0
-- args  limits: see governance.lua
--       groups: of jobs of one owner with the same limits; for each, in a list: owner ('' for none), and for each limit its place among
--       the limits and how much these jobs want of it together
--       ids; and for each job
--       places: its group
--       told: its shard if it is given back if it is refused, and is to be told once there is room; else -1
--       distinct: whether no id stands there twice
--       opens: whether who asks can let others go on     now (ms): in tests alone
-- ARGV  2 for each job, one behind the other, what its permit has of its own, packed: from its beginning on, see governance.lua
-- ->    closed: for each job that was refused: job (its place, from 0), exceeded (places among its limits, from 0), until (ms: when to
--       ask again; absent for never)
--       open: who may go on, see governance.lua
local now = args.now or now_ms()
-- Room among running jobs, and what others merely reserve, may be free at any moment: whoever waits for it is told, and looks again
-- after this time in any case.
local SOON_MS = 1000
local ids, permits, states = args.ids, read_permits(args.ids), {}
local closed, written, waiting = {}, {}, {}
local limits, text_of_now = named(args.limits), string.format('%.0f', now)

-- The limits as they are now; those of one name are one.
for _, limit in ipairs(limits) do
  local state = states[limit.name]
  if not state then
    state = read_limit(limit, now)
    if limit.kind == 'running' then state.added = {} end
    states[limit.name] = state
  end
  limit.state = state
end

-- The limits of jobs of a group, how many bytes their permits have of their own, and what they have in common.
local groups = {}
for i, row in ipairs(args.groups) do
  local size = (#row - 1) / 2
  local group, common = {owner = row[1], bytes = OWN - 1 + 8 * (size + 1), added = {}}, {now, row[1]}
  for k = 1, size do
    local limit = limits[row[2 * k]]
    local state = limit.state
    group[k], common[2 * k + 1], common[2 * k + 2] = limit, limit.name, state.s
    group.added[#group.added + 1] = state.added
    state.wanted = (state.wanted or 0) + row[2 * k + 1]
    state.admitted, state.least = limit, math.min(state.least or limit.max, limit.max)
  end
  group.common = struct.pack(common_format(size), unpack(common))
  groups[i] = group
end

local group_of, own_of, at = {}, {}, 1
for i, place in ipairs(args.places) do
  local group = groups[place]
  local after = at + group.bytes
  group_of[i], own_of[i], at = group, string.sub(ARGV[2], at, after - 1), after
end

-- Whether there is room. Who is larger than the whole limit runs alone.
local function has_room(limit, amount)
  local state, max = limit.state, limit.max
  if state.u + state.r + amount <= max then return true end
  return amount > max and state.r == 0 and state.u < max
end

-- When it is worth to ask again (nil for never), and whether it is what others hold that is in the way.
local function reopens(limit, amount)
  local state, max = limit.state, limit.max
  if max < 1 then return nil, false end
  local is_used = state.u + amount > max and not (amount > max and state.u < max)
  if is_used then return state.e, false end
  -- Requests that are reserved are used sooner or later, but for a few.
  if limit.kind == 'requests' then return state.e or now + SOON_MS, true end
  return now + SOON_MS, true
end

-- want: fence, and how much of each limit; exceeded: places among its limits, from 1
local function refuse(i, group, want, exceeded)
  local untils, is_never, may_open, is_narrow, places = now, false, true, true, {}
  for j, k in ipairs(exceeded) do
    local at, is_reserved = reopens(group[k], want[k + 1])
    if at then untils = math.max(untils, at) else is_never = true end
    may_open = may_open and is_reserved
    is_narrow = is_narrow and group[k].is_narrow
    places[j] = k - 1
  end
  closed[#closed + 1] = {job = i - 1, exceeded = places, ['until'] = not is_never and untils or nil}
  if args.told[i] < 0 or not may_open then return end
  local lane = group.owner
  if is_narrow then lane = lane .. '\n' .. group[exceeded[1]].name end
  for _, k in ipairs(exceeded) do
    local name = group[k].name
    waiting[name] = waiting[name] or {}
    waiting[name][args.told[i] .. ' ' .. lane] = true
  end
end

local function reserve(limit, amount, id)
  local state = limit.state
  state.r = state.r + amount
  state.is_changed, state.admitted, state.asked = true, limit, amount
  local added = state.added
  if added then added[#added + 1], added[#added + 2] = text_of_now, id end
end

-- One that holds nothing yet, as most do.
local function admit_new(i, group, want, id)
  local exceeded = {}
  for k, limit in ipairs(group) do
    if not has_room(limit, want[k + 1]) then exceeded[#exceeded + 1] = k end
  end
  if #exceeded > 0 then return refuse(i, group, want, exceeded) end
  for k, limit in ipairs(group) do reserve(limit, want[k + 1], id) end
  return own_of[i] .. group.common
end

-- Where a limit stands in a permit.
local function place_of(permit, name)
  for i = 4, #permit, 3 do
    if permit[i] == name then return i end
  end
end

-- One that has a permit. A window that has ended holds nothing for a new start of the job, and all for the same one.
local function admit_again(i, group, want, id, packed)
  local permit, exceeded, missing = read_permit(packed), {}, {}
  local is_new_start = want[1] > permit[1]
  for k, limit in ipairs(group) do
    local at, s = place_of(permit, limit.name), limit.state.s
    local is_held = at and (s == RUNNING and permit[at + 2] > 0 or s ~= RUNNING and (permit[at + 1] == s or not is_new_start))
    if not is_held then
      missing[#missing + 1] = {limit, want[k + 1], at}
      if not has_room(limit, want[k + 1]) then exceeded[#exceeded + 1] = k end
    end
  end
  if #exceeded > 0 then return refuse(i, group, want, exceeded) end
  if #missing == 0 and not is_new_start then return end
  if is_new_start then permit[1], permit[2] = want[1], now end
  for _, lack in ipairs(missing) do
    local limit, amount, at = lack[1], lack[2], lack[3] or #permit + 1
    reserve(limit, amount, id)
    permit[at], permit[at + 1], permit[at + 2] = limit.name, limit.state.s, amount
  end
  return write_permit(permit)
end

local function admit_each()
  local again = {}
  for i, id in ipairs(ids) do
    local group = group_of[i]
    local want = {struct.unpack(own_format(#group), own_of[i], OWN)}
    -- It may stand twice in one call.
    local packed = again[id] or permits[i]
    local text
    if packed then text = admit_again(i, group, want, id, packed) else text = admit_new(i, group, want, id) end
    if text then
      again[id] = text
      written[#written + 1], written[#written + 2] = id, text
    end
  end
end

-- Whether none of the jobs holds anything, and there is room for all of them together.
local function have_all_room()
  if not args.distinct then return false end
  for _, state in pairs(states) do
    if state.u + state.r + state.wanted > state.least then return false end
  end
  for _, packed in ipairs(permits) do
    if packed then return false end
  end
  return true
end

local function admit_all()
  for i, id in ipairs(ids) do
    local group = group_of[i]
    written[2 * i - 1], written[2 * i] = id, own_of[i] .. group.common
    for _, added in ipairs(group.added) do added[#added + 1], added[#added + 2] = text_of_now, id end
  end
  for _, state in pairs(states) do
    state.r, state.is_changed, state.asked = state.r + state.wanted, true, state.wanted / #ids
  end
end

if have_all_room() then admit_all() else admit_each() end

if #written > 0 then redis.call('HSET', PERMITS, unpack(written)) end
local room = {}
for name, state in pairs(states) do
  if state.is_changed then
    local limit = state.admitted
    if state.added then redis.call('ZADD', running_key(name), unpack(state.added)) else write_limit(limit, state) end
    -- Whoever was to be told of room may not have heard it.
    local left = math.floor((limit.max - state.u - state.r) / math.max(state.asked, 1))
    if left > 0 then room[name] = left end
  end
end
local open = args.opens and who_waits(room, now - TOLD_MS, now) or {}
for name, lanes in pairs(waiting) do
  local line, members = waiters_key(name), {}
  for lane in pairs(lanes) do members[#members + 1], members[#members + 2] = now, lane end
  redis.call('ZADD', line, 'NX', unpack(members))
  redis.call('PEXPIRE', line, WAITER_MS)
end
return reply({closed = closed, open = open})
