-- list_ids: the newest ids of all owners' jobs in a shard.
-- KEYS  1 queue
-- args  newest, oldest: bounds, as ZRANGE BYLEX has them     count: at most so many
-- ->    ids, the newest first
local function newest(owner, count)
  return redis.call('ZRANGE', list_key(owner), args.newest, args.oldest, 'BYLEX', 'REV', 'LIMIT', 0, count)
end
local function sort(list, by) table.sort(list, function(a, b) return by(a) > by(b) end) end

-- Whose newest is older than the newest of so many others has none that counts.
local owners = {}
for _, owner in ipairs(redis.call('SMEMBERS', key('owners'))) do
  local first = newest(owner, 1)[1]
  if first then owners[#owners + 1] = {name = owner, first = first} end
end
sort(owners, function(owner) return owner.first end)
local ids = {}
for i = 1, math.min(#owners, args.count) do
  for _, id in ipairs(newest(owners[i].name, args.count)) do ids[#ids + 1] = id end
end
sort(ids, function(id) return id end)
local page = {}
for i = 1, math.min(#ids, args.count) do page[i] = ids[i] end
return reply(page)
