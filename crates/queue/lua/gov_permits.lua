-- gov_permits: looks through permits for old ones.
-- KEYS  1 queue of shard 0
-- args  cursor, count (about so many), age_ms
-- ->    cursor: where to go on, '0' at the end     permits: id, fence, owner, runs: whether it counts as running
local now, found = now_ms(), {}
local cursor, entries = unpack(redis.call('HSCAN', PERMITS, args.cursor, 'COUNT', args.count))
for i = 1, #entries, 2 do
  local permit = read_permit(entries[i + 1])
  if permit[2] <= now - args.age_ms then
    local runs = false
    for j = 4, #permit, 3 do runs = runs or permit[j + 1] == RUNNING and permit[j + 2] > 0 end
    found[#found + 1] = {id = entries[i], fence = permit[1], owner = permit[3], runs = runs}
  end
end
return reply({cursor = cursor, permits = found})
