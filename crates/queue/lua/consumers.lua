-- consumers: the workers that a shard's group knows.
-- KEYS  1 queue
-- args  none
-- ->    for each: name, pending (entries that it holds), idle (ms since it last asked for something)
local found = {}
if group_info() then
  for i, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', QUEUE, GROUP)) do
    local info = {}
    for j = 1, #consumer, 2 do info[consumer[j]] = consumer[j + 1] end
    found[i] = {name = info.name, pending = info.pending, idle = info.idle}
  end
end
return reply(found)
