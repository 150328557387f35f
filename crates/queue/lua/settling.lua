-- How what jobs hold of their limits is settled; it stands before each script that does so.
local KEPT_SECONDS = 400 * 24 * 3600
local FIELDS = {'requests', 'input_tokens', 'output_tokens', 'cost', 'unpriced_calls', 'unknown_calls'}

-- Frees what jobs hold, and counts what they have used: once, as only a permit that is there is settled.
-- ids, jobs, names: see gov_settle
-- -> how many had a permit; freed: of which limits there is room, for how many jobs
local function settle_jobs(ids, jobs, names, now)
  local permits, states, done = read_permits(ids), {}, {}
  -- What was used, by owner and model.
  local removed, ended, freed, usage = {}, {}, {}, {}

  local function add_row(owner, job, at)
    local of_owner = usage[owner]
    if not of_owner then of_owner = {}; usage[owner] = of_owner end
    local sums = of_owner[job[at]]
    if not sums then sums = {0, 0, 0, 0, 0, 0}; of_owner[job[at]] = sums end
    for i = 1, 6 do sums[i] = sums[i] + job[at + i] end
  end

  -- Takes off what was reserved and adds what was used, if the window is still the one in which it was reserved.
  local function settle(id, name, s, reserved, used)
    if s == RUNNING then
      local left = ended[name]
      if not left then left = {}; ended[name] = left end
      left[#left + 1] = id
      freed[name] = (freed[name] or 0) + 1
      return
    end
    local state = states[name]
    if not state then
      local is = redis.call('HMGET', limit_key(name), 's', 'u', 'r')
      state = {s = tonumber(is[1] or nil), u = tonumber(is[2] or nil) or 0, r = tonumber(is[3] or nil) or 0}
      states[name] = state
    end
    if state.s ~= s then return end
    state.u, state.r, state.changed = state.u + used, state.r - reserved, true
    if used < reserved then freed[name] = (freed[name] or 0) + 1 end
  end

  local function used_of(job, name, reserved)
    for i = 4, 2 + 2 * job[3], 2 do
      if names[job[i]] == name then return job[i + 1] end
    end
    return job[2] == 1 and string.sub(name, 1, 9) == 'requests:' and reserved or 0
  end

  local unpacked = struct.unpack
  for i, job in ipairs(jobs) do
    local id, packed = ids[i], permits[i]
    if packed and not done[id] then
      local fence, _, owner, at = unpacked(HEAD, packed)
      if fence <= job[1] then
        done[id] = true
        removed[#removed + 1] = id
        local size, name, s, reserved = #packed
        while at <= size do
          name, s, reserved, at = unpacked(PART, packed, at)
          settle(id, name, s, reserved, s == RUNNING and 0 or used_of(job, name, reserved))
        end
        for row = 4 + 2 * job[3], #job, 7 do add_row(owner, job, row) end
      end
    end
  end

  if #removed > 0 then redis.call('HDEL', PERMITS, unpack(removed)) end
  for name, left in pairs(ended) do redis.call('ZREM', running_key(name), unpack(left)) end
  for name, state in pairs(states) do
    if state.changed then
      redis.call('HSET', limit_key(name), 'u', math.min(state.u, MOST), 'r', math.max(state.r, 0))
    end
  end
  local of_day
  for owner, models in pairs(usage) do
    local totals = {0, 0, 0, 0, 0, 0}
    if not of_day then
      local days = math.floor(now / DAY_MS)
      local year, month = month_of(days)
      of_day = key(string.format('usage:%04d%02d%02d', year, month, days - first_day(year, month) + 1))
    end
    for model, sums in pairs(models) do
      for i, field in ipairs(FIELDS) do
        if sums[i] > 0 then
          redis.call('HINCRBY', of_day, owner .. '\n' .. names[model] .. '\n' .. field, sums[i])
          totals[i] = totals[i] + sums[i]
        end
      end
    end
    for i, field in ipairs(FIELDS) do
      if totals[i] > 0 then redis.call('HINCRBY', key('totals:' .. owner), field, totals[i]) end
    end
  end
  if of_day then redis.call('EXPIRE', of_day, KEPT_SECONDS) end
  return #removed, freed
end
