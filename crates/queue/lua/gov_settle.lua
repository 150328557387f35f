-- gov_settle: what jobs hold of their limits is free again, and what they have used is counted: once, as only a permit that is there
-- is settled. Safe to repeat.
-- KEYS  1 queue of shard 0
-- args  jobs: id, fence; a permit of a later start stays
--             limits: by name, how much was used of each; absent for nothing
--             rows: for each model: model, requests, input tokens, output tokens, cost, calls without a price, unknown calls;
--             absent for none
--             swept: whether nobody knows what the job has done; each of its requests counts
--       opens: whether who asks can let others go on     now (ms): in tests alone
-- ->    settled: how many had a permit     open: who may go on, see governance.lua
local now = args.now or now_ms()
local KEPT_SECONDS = 400 * 24 * 3600
local FIELDS = {'requests', 'input_tokens', 'output_tokens', 'cost', 'unpriced_calls', 'unknown_calls'}
local permits, states = read_permits(args.jobs), {}
local removed, ended, freed, usage, totals = {}, {}, {}, {}, {}

local function add(sums, name, field, amount)
  local sum = sums[name]
  if not sum then sum = {}; sums[name] = sum end
  sum[field] = (sum[field] or 0) + amount
end

-- Takes off what was reserved and adds what was used, if the window is still the one in which it was reserved.
local function settle(name, s, reserved, used)
  if s == RUNNING then
    local left = ended[name] or {}
    ended[name] = left
    left[#left + 1] = removed[#removed]
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
  state.u, state.r, state.changed = math.min(state.u + used, MOST), math.max(state.r - reserved, 0), true
  if used < reserved then freed[name] = (freed[name] or 0) + 1 end
end

for _, job in ipairs(args.jobs) do
  local permit = permits[job.id]
  if permit and permit[1] <= job.fence then
    permits[job.id] = nil
    removed[#removed + 1] = job.id
    for i = 4, #permit, 3 do
      local name, reserved = permit[i], permit[i + 2]
      local used = job.limits and job.limits[name]
      if not used and job.swept and string.sub(name, 1, 9) == 'requests:' then used = reserved end
      settle(name, permit[i + 1], reserved, used or 0)
    end
    for _, row in ipairs(job.rows or {}) do
      local of_model = permit[3] .. '\n' .. row[1] .. '\n'
      for i, field in ipairs(FIELDS) do
        if row[i + 1] > 0 then
          add(usage, '', of_model .. field, row[i + 1])
          add(totals, permit[3], field, row[i + 1])
        end
      end
    end
  end
end

if #removed > 0 then redis.call('HDEL', PERMITS, unpack(removed)) end
for name, ids in pairs(ended) do redis.call('ZREM', running_key(name), unpack(ids)) end
for name, state in pairs(states) do
  if state.changed then redis.call('HSET', limit_key(name), 'u', state.u, 'r', state.r) end
end
if usage[''] then
  local year, month = month_of(math.floor(now / DAY_MS))
  local day = math.floor(now / DAY_MS) - first_day(year, month) + 1
  local of_day = key(string.format('usage:%04d%02d%02d', year, month, day))
  for field, amount in pairs(usage['']) do redis.call('HINCRBY', of_day, field, amount) end
  redis.call('EXPIRE', of_day, KEPT_SECONDS)
end
for owner, sums in pairs(totals) do
  for field, amount in pairs(sums) do redis.call('HINCRBY', key('totals:' .. owner), field, amount) end
end
return reply({settled = #removed, open = args.opens and who_waits(freed, now, now) or {}})
