-- webhook_list: some of the registered endpoints. One may come twice.
-- KEYS  1 queue of shard 0
-- args  cursor: '0' for the first
-- ->    cursor: of the next, '0' after the last; found: for each id, definition, state
local scan, found = redis.call('HSCAN', DEFINITIONS, args.cursor, 'COUNT', 100), {}
for i = 1, #scan[2], 2 do
  found[#found + 1] = {id = scan[2][i], definition = scan[2][i + 1], state = read_state(scan[2][i])}
end
return reply({cursor = scan[1], found = found})
