-- gov_states: what has become of jobs that hold permits.
-- KEYS  1 queue of the jobs' shard
-- args  ids
-- ->    for each 'runs', 'waits', 'owed' (it has ended, and is to be settled), 'ended' or 'gone'
local states = {}
for i, id in ipairs(args.ids) do
  local is = redis.pcall('HMGET', job_key(id), 'holder', 'code')
  if is.err or not (is[1] or is[2]) then
    states[i] = redis.call('HEXISTS', key('owed'), id) == 1 and 'owed' or 'gone'
  elseif is[2] then
    states[i] = redis.call('HEXISTS', key('owed'), id) == 1 and 'owed' or 'ended'
  else
    states[i] = read_holder(is[1]).runs and 'runs' or 'waits'
  end
end
return reply(states)
