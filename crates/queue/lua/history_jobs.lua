-- history_jobs: jobs that wait, run or are delayed.
-- KEYS  1 queue
-- args  state: 'waiting', 'running' or 'delayed'     count: at most so many
-- ->    for each: id     at: when it is due (ms), of a delayed one
local found = {}
local function add(id, at) found[#found + 1] = {id = id, at = at} end

if args.state == 'delayed' then
  local rows = redis.call('ZRANGE', key('delayed'), 0, args.count - 1, 'WITHSCORES')
  for i = 1, #rows, 2 do add(rows[i], tonumber(rows[i + 1])) end
elseif args.state == 'running' then
  -- An entry is removed when its job ends: what was given to workers and is still there runs.
  for _, row in ipairs(redis.pcall('XPENDING', QUEUE, GROUP, '-', '+', args.count)) do
    local entry = redis.call('XRANGE', QUEUE, row[1], row[1])[1]
    local id = entry and id_of(entry)
    if id then add(id) end
  end
else
  for _, id in ipairs(new_jobs(args.count)) do add(id) end
  local lanes = some_lanes()
  local each = math.ceil(args.count / math.max(#lanes, 1))
  for _, lane in ipairs(lanes) do
    local ids = redis.pcall('ZRANGE', key('lane:' .. lane), 0, each - 1)
    for _, id in ipairs(ids) do add(id) end
  end
end
return reply(found)
