-- gov_admit: reserves all that a job asks for of its limits, or nothing. Safe to repeat: what its permit holds is not reserved again.
-- KEYS  1 queue of shard 0
-- args  limits: name, max, window, kind (see governance.lua), narrow: whether it concerns a part of its owner's jobs only
--       jobs: id, fence, owner, shard, wants: for each limit its place among the limits and how much, waits: whether the job is
--       given back if it is refused, and is to be told once there is room
--       opens: whether who asks can let others go on     now (ms): in tests alone
-- ->    closed: for each job that was refused: job (its place, from 0), exceeded (places among its wants, from 0), until (ms: when to
--       ask again; absent for never)
--       open: who may go on, see governance.lua
local now = args.now or now_ms()
-- Room among running jobs, and what others merely reserve, may be free at any moment: whoever waits for it is told, and looks again
-- after this time in any case.
local SOON_MS = 1000
local permits, states = read_permits(args.jobs), {}
local closed, written, admitted, waiting, asked = {}, {}, {}, {}, {}

local function state_of(limit)
  local state = states[limit.name]
  if not state then
    state = read_limit(limit, now)
    states[limit.name] = state
  end
  return state
end

-- Where a limit stands in a permit.
local function place_of(permit, name)
  for i = 4, #permit, 3 do
    if permit[i] == name then return i end
  end
end

-- Whether the permit holds it. A window that has ended holds nothing for a new start of the job, and all for the same one.
local function is_held(permit, at, state, is_new_start)
  if state.s == RUNNING then return permit[at + 2] > 0 end
  return permit[at + 1] == state.s or not is_new_start
end

-- Whether there is room. Who is larger than the whole limit runs alone.
local function has_room(limit, state, amount)
  if state.u + state.r + amount <= limit.max then return true end
  return amount > limit.max and state.r == 0 and state.u < limit.max
end

-- When it is worth to ask again (nil for never), and whether it is what others hold that is in the way.
local function reopens(limit, state, amount)
  if limit.max < 1 then return nil, false end
  local is_used = state.u + amount > limit.max and not (amount > limit.max and state.u < limit.max)
  if is_used then return state.e, false end
  -- Requests that are reserved are used sooner or later, but for a few.
  if limit.kind == 'requests' then return state.e or now + SOON_MS, true end
  return now + SOON_MS, true
end

local function refuse(i, job, exceeded, wants)
  local untils, is_never, may_open, is_narrow = now, false, true, true
  for _, place in ipairs(exceeded) do
    local want = wants[place + 1]
    local at, is_reserved = reopens(want.limit, want.state, want.amount)
    if at then untils = math.max(untils, at) else is_never = true end
    may_open = may_open and is_reserved
    is_narrow = is_narrow and want.limit.narrow
  end
  closed[#closed + 1] = {job = i - 1, exceeded = exceeded, ['until'] = not is_never and untils or nil}
  if not (job.waits and may_open) then return end
  local lane = job.owner or ''
  if is_narrow then lane = lane .. '\n' .. wants[exceeded[1] + 1].limit.name end
  for _, place in ipairs(exceeded) do
    local name = wants[place + 1].limit.name
    waiting[name] = waiting[name] or {}
    waiting[name][job.shard .. ' ' .. lane] = true
  end
end

for i, job in ipairs(args.jobs) do
  local permit = permits[job.id]
  local is_new_start = permit and job.fence > permit[1]
  local wants, exceeded = {}, {}
  for k = 1, #job.wants, 2 do
    local limit, amount = args.limits[job.wants[k]], job.wants[k + 1]
    local state = state_of(limit)
    local at = permit and place_of(permit, limit.name)
    local want = {limit = limit, state = state, amount = amount, at = at}
    wants[#wants + 1] = want
    if at and is_held(permit, at, state, is_new_start) then
      want.is_held = true
    elseif not has_room(limit, state, amount) then
      exceeded[#exceeded + 1] = #wants - 1
    end
  end
  if #exceeded > 0 then
    refuse(i, job, exceeded, wants)
  else
    local changed = is_new_start or not permit
    permit = permit or {job.fence, now, job.owner or ''}
    if is_new_start then permit[1], permit[2] = job.fence, now end
    for _, want in ipairs(wants) do
      if not want.is_held then
        local name, state, at = want.limit.name, want.state, want.at or #permit + 1
        permit[at], permit[at + 1], permit[at + 2] = name, state.s, want.amount
        state.r = state.r + want.amount
        changed = true
        admitted[name] = want.limit
        asked[name] = want.amount
        if state.s == RUNNING then
          state.starts = state.starts or {}
          state.starts[#state.starts + 1], state.starts[#state.starts + 2] = now, job.id
        end
      end
    end
    if changed then
      permits[job.id] = permit
      written[#written + 1], written[#written + 2] = job.id, cmsgpack.pack(permit)
    end
  end
end

if #written > 0 then redis.call('HSET', PERMITS, unpack(written)) end
local room = {}
for name, limit in pairs(admitted) do
  local state = states[name]
  if state.starts then
    redis.call('ZADD', running_key(name), unpack(state.starts))
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
