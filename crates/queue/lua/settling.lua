-- How what jobs hold of their limits is settled; it stands before each script that does so.
local KEPT_SECONDS = 400 * 24 * 3600
local FIELDS = {'requests', 'input_tokens', 'output_tokens', 'cost', 'unpriced_calls', 'unknown_calls'}
-- Which of them are kept of an owner beside those of each day.
local IS_TOTAL = {requests = true, unpriced_calls = true, unknown_calls = true}

-- Adds what was used to the rows of the day. usage: sums in the order of FIELDS, by owner and model
local function write_usage(usage, names, now)
  local of_day
  for owner, models in pairs(usage) do
    local totals = {}
    if not of_day then
      local days = math.floor(now / DAY_MS)
      local year, month = month_of(days)
      of_day = key(string.format('usage:%04d%02d%02d', year, month, days - first_day(year, month) + 1))
    end
    for model, sums in pairs(models) do
      for i, field in ipairs(FIELDS) do
        local sum = sums[i]
        if sum > 0 then
          local all = redis.call('HINCRBY', of_day, owner .. '\n' .. names[model] .. '\n' .. field, sum)
          -- It is new; the day may be, too.
          if all == sum then redis.call('EXPIRE', of_day, KEPT_SECONDS) end
          if IS_TOTAL[field] then totals[field] = (totals[field] or 0) + sum end
        end
      end
    end
    for field, sum in pairs(totals) do redis.call('HINCRBY', key('totals:' .. owner), field, sum) end
  end
end

-- Frees what jobs hold, and counts what they have used: once, as only a permit that is there is settled.
-- ids; starts: where each begins in `numbers`; numbers, names, shapes: see gov_settle
-- -> how many had a permit; freed: of which limits there is room, for how many jobs
local function settle_jobs(ids, starts, numbers, names, shapes, now)
  local permits, states, usage, commons = read_permits(ids), {}, {}, {}
  local removed, freed, done = {}, {}, {}

  local function state_of(name, s)
    local state
    if s == RUNNING then
      state = {s = s, ended = {}}
    else
      local is = redis.call('HMGET', limit_key(name), 's', 'u', 'r')
      state = {s = tonumber(is[1] or nil), u = tonumber(is[2] or nil) or 0, r = tonumber(is[3] or nil) or 0}
    end
    state.freed = 0
    states[name] = state
    return state
  end

  -- What permits have in common. A limit has no state there whose window is no longer the one in which something was reserved.
  local function read_common(text, limits)
    local values = {struct.unpack(common_format(limits), text)}
    local common = {owner = values[2], names = {}, states = {}, places = {}}
    for k = 1, limits do
      local name, s = values[2 * k + 1], values[2 * k + 2]
      local state = states[name] or state_of(name, s)
      common.names[k], common.states[k] = name, state.s == s and state
    end
    commons[text] = common
    return common
  end

  -- Where in its numbers a job of this shape says what it has used of each of these limits; false where it does not.
  local function places_of(common, shape)
    local places = {}
    for k, name in ipairs(common.names) do
      places[k] = false
      for j, other in ipairs(shapes[shape]) do
        if names[other] == name then places[k] = 2 + j end
      end
    end
    common.places[shape] = places
    return places
  end

  -- What was used, in the order of FIELDS, by an owner of a model.
  local function sums_of(owner, model)
    local of_owner = usage[owner]
    if not of_owner then of_owner = {}; usage[owner] = of_owner end
    local sums = of_owner[model]
    if not sums then sums = {0, 0, 0, 0, 0, 0}; of_owner[model] = sums end
    return sums
  end

  local function settle(id, at, packed, limits)
    local own = {struct.unpack(own_format(limits), packed, OWN)}
    local shape, is_swept = numbers[at], numbers[at + 2] == 1
    if own[1] > numbers[at + 1] then return end
    done[id] = true
    removed[#removed + 1] = id
    local text = string.sub(packed, own[limits + 2])
    local common = commons[text] or read_common(text, limits)
    local places = common.places[shape] or places_of(common, shape)
    for k, state in ipairs(common.states) do
      local reserved, place = own[k + 1], places[k]
      if not state then
        -- It was reserved in a window that has ended.
      elseif state.ended then
        state.ended[#state.ended + 1] = id
        state.freed = state.freed + 1
      else
        local used = place and numbers[at + place] or is_swept and string.sub(common.names[k], 1, 9) == 'requests:' and reserved or 0
        state.u, state.r, state.changed = state.u + used, state.r - reserved, true
        if used < reserved then state.freed = state.freed + 1 end
      end
    end
    local rows = at + 3 + #shapes[shape]
    for row = rows + 1, rows + 7 * numbers[rows], 7 do
      local sums = sums_of(common.owner, numbers[row])
      for i = 1, 6 do sums[i] = sums[i] + numbers[row + i] end
    end
  end

  for i, id in ipairs(ids) do
    local packed = permits[i]
    if packed and not done[id] then
      -- One of an earlier version is written as those of ours.
      if not count_limits(packed) then packed = write_permit(read_permit(packed)) end
      settle(id, starts[i], packed, count_limits(packed))
    end
  end

  if #removed > 0 then redis.call('HDEL', PERMITS, unpack(removed)) end
  for name, state in pairs(states) do
    if state.ended then
      redis.call('ZREM', running_key(name), unpack(state.ended))
    elseif state.changed then
      redis.call('HSET', limit_key(name), 'u', math.min(state.u, MOST), 'r', math.max(state.r, 0))
    end
    if state.freed > 0 then freed[name] = state.freed end
  end
  write_usage(usage, names, now)
  return #removed, freed
end
