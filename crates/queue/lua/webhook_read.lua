-- webhook_read: definitions and states of endpoints.
-- KEYS  1 queue of shard 0
-- args  ids, name: that of one more (absent for none)
-- ->    for each: id, definition (absent for one that is not registered), state
local ids, found = args.ids, {}
if args.name then
  local id = redis.call('HGET', NAMES, args.name)
  if id then ids[#ids + 1] = id end
end
for i, id in ipairs(ids) do
  found[i] = {id = id, definition = redis.call('HGET', DEFINITIONS, id) or nil, state = read_state(id)}
end
return reply(found)
