-- history_dead: dead letters by why they were given up on.
-- KEYS  1 queue
-- args  none
-- ->    for each reason: reason, count, oldest, newest (ms)
local groups, by_reason = {}, {}
local rows = redis.call('ZRANGE', key('dead'), 0, -1, 'WITHSCORES')
for i = 1, #rows, 2 do
  local reason, at = redis.pcall('HGET', letter_key(rows[i]), 'reason'), tonumber(rows[i + 1])
  if type(reason) == 'string' then
    local group = by_reason[reason]
    if not group then
      group = {reason = reason, count = 0, oldest = at}
      groups[#groups + 1], by_reason[reason] = group, group
    end
    group.count, group.newest = group.count + 1, at
  end
end
return reply(groups)
