-- trim_list: removes the ids of jobs from a list whose records are gone.
-- KEYS  1 queue
-- args  owner, after: the id behind which it begins, '' for the start     count: ids to look at
-- ->    removed: how many     last: where to go on; absent at the end of the list
local list = list_key(args.owner)
local from = args.after == '' and '-' or '(' .. args.after
local ids = redis.call('ZRANGE', list, from, '+', 'BYLEX', 'LIMIT', 0, args.count)
local removed = 0
if #ids > 0 then
  local records = {}
  for i, id in ipairs(ids) do records[i] = job_key(id) end
  local left = redis.call('EXISTS', unpack(records))
  if left == 0 then
    removed = redis.call('ZREMRANGEBYLEX', list, from, '[' .. ids[#ids])
  elseif left < #ids then
    local gone = {}
    for i, id in ipairs(ids) do
      if redis.call('EXISTS', records[i]) == 0 then gone[#gone + 1] = id end
    end
    removed = redis.call('ZREM', list, unpack(gone))
  end
end
if redis.call('EXISTS', list) == 0 then redis.call('SREM', key('owners'), args.owner) end
return reply({removed = removed, last = #ids == args.count and ids[#ids] or nil})
