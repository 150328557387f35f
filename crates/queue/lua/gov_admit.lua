-- gov_admit: reserves all that a job asks for of its limits, or nothing. Safe to repeat: what its permit holds is not reserved again.
-- KEYS  1 queue of shard 0
-- args  limits: name, max, window, kind (see governance.lua), narrow: whether it concerns a part of its owner's jobs only
--       ids
--       jobs: for each, in a list: fence, owner ('' for none), shard, waits (1 if the job is given back if it is refused, and is to be
--       told once there is room; else 0), and for each limit that it wants its place among the limits, and how much
--       opens: whether who asks can let others go on     now (ms): in tests alone
-- ->    closed: for each job that was refused: job (its place, from 0), exceeded (places among its wants, from 0), until (ms: when to
--       ask again; absent for never)
--       open: who may go on, see governance.lua
local now = args.now or now_ms()
-- Room among running jobs, and what others merely reserve, may be free at any moment: whoever waits for it is told, and looks again
-- after this time in any case.
local SOON_MS = 1000
local permits, states, again = read_permits(args.ids), {}, {}
local closed, written, admitted, waiting, asked = {}, {}, {}, {}, {}

-- The limits as they are now, by their places; those of one name are one.
for i, limit in ipairs(args.limits) do
  local state = states[limit.name]
  if not state then
    state = read_limit(limit, now)
    state.added = {}
    states[limit.name] = state
  end
  limit.state = state
  -- What a permit says of it, but for how much.
  limit.part = struct.pack('<sd', limit.name, state.s)
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

-- exceeded: places among its wants, from 0
local function refuse(i, job, exceeded)
  local untils, is_never, may_open, is_narrow = now, false, true, true
  for _, place in ipairs(exceeded) do
    local limit = args.limits[job[5 + 2 * place]]
    local at, is_reserved = reopens(limit, job[6 + 2 * place])
    if at then untils = math.max(untils, at) else is_never = true end
    may_open = may_open and is_reserved
    is_narrow = is_narrow and limit.narrow
  end
  closed[#closed + 1] = {job = i - 1, exceeded = exceeded, ['until'] = not is_never and untils or nil}
  if job[4] == 0 or not may_open then return end
  local lane = job[2]
  if is_narrow then lane = lane .. '\n' .. args.limits[job[5 + 2 * exceeded[1]]].name end
  for _, place in ipairs(exceeded) do
    local name = args.limits[job[5 + 2 * place]].name
    waiting[name] = waiting[name] or {}
    waiting[name][job[3] .. ' ' .. lane] = true
  end
end

local function reserve(limit, amount, id)
  local state = limit.state
  state.r = state.r + amount
  admitted[limit.name], asked[limit.name] = limit, amount
  if state.s == RUNNING then
    local added = state.added
    added[#added + 1], added[#added + 2] = now, id
  end
end

local function pack_amount(amount) return struct.pack('<d', amount) end
-- One that holds nothing yet, as most do.
local parts = {}
local function admit_new(i, job, id)
  local exceeded
  for k = 5, #job, 2 do
    if not has_room(args.limits[job[k]], job[k + 1]) then
      exceeded = exceeded or {}
      exceeded[#exceeded + 1] = (k - 5) / 2
    end
  end
  if exceeded then return refuse(i, job, exceeded) end
  parts[1] = pack_head(job[1], now, job[2])
  local n = 1
  for k = 5, #job, 2 do
    local limit, amount = args.limits[job[k]], job[k + 1]
    reserve(limit, amount, id)
    parts[n + 1], parts[n + 2] = limit.part, pack_amount(amount)
    n = n + 2
  end
  return table.concat(parts, '', 1, n)
end

-- Where a limit stands in a permit.
local function place_of(permit, name)
  for i = 4, #permit, 3 do
    if permit[i] == name then return i end
  end
end

-- One that has a permit. A window that has ended holds nothing for a new start of the job, and all for the same one.
local function admit_again(i, job, id, packed)
  local permit, exceeded, missing = read_permit(packed), {}, {}
  local is_new_start = job[1] > permit[1]
  for k = 5, #job, 2 do
    local limit = args.limits[job[k]]
    local at, s = place_of(permit, limit.name), limit.state.s
    local is_held = at and (s == RUNNING and permit[at + 2] > 0 or s ~= RUNNING and (permit[at + 1] == s or not is_new_start))
    if not is_held then
      missing[#missing + 1] = {limit, job[k + 1], at}
      if not has_room(limit, job[k + 1]) then exceeded[#exceeded + 1] = (k - 5) / 2 end
    end
  end
  if #exceeded > 0 then return refuse(i, job, exceeded) end
  if #missing == 0 and not is_new_start then return end
  if is_new_start then permit[1], permit[2] = job[1], now end
  for _, want in ipairs(missing) do
    local limit, amount, at = want[1], want[2], want[3] or #permit + 1
    reserve(limit, amount, id)
    permit[at], permit[at + 1], permit[at + 2] = limit.name, limit.state.s, amount
  end
  return write_permit(permit)
end

for i, job in ipairs(args.jobs) do
  local id = args.ids[i]
  -- It may stand twice in one call.
  local packed = again[id] or permits[i]
  local text
  if packed then text = admit_again(i, job, id, packed) else text = admit_new(i, job, id) end
  if text then
    again[id] = text
    written[#written + 1], written[#written + 2] = id, text
  end
end

if #written > 0 then redis.call('HSET', PERMITS, unpack(written)) end
local room = {}
for name, limit in pairs(admitted) do
  local state = limit.state
  if state.s == RUNNING then
    redis.call('ZADD', running_key(name), unpack(state.added))
  else
    write_limit(limit, state)
  end
  -- Whoever was to be told of room may not have heard it.
  local left = math.floor((limit.max - state.u - state.r) / math.max(asked[name], 1))
  if left > 0 then room[name] = left end
end
local open = args.opens and who_waits(room, now - TOLD_MS, now) or {}
for name, lanes in pairs(waiting) do
  local line, members = waiters_key(name), {}
  for lane in pairs(lanes) do members[#members + 1], members[#members + 2] = now, lane end
  redis.call('ZADD', line, 'NX', unpack(members))
  redis.call('PEXPIRE', line, WAITER_MS)
end
return reply({closed = closed, open = open})
