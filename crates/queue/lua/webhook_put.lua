-- webhook_put: writes the definition of an endpoint, or a new one in place of the one that the caller has read.
-- KEYS  1 queue of shard 0
-- args  id, name, definition, was (what the caller has read; absent for a new one), most: so many endpoints at most
-- ->    'done', 'taken' (another has this name), 'changed' (it is another by now), 'unknown' or 'full'
local is = redis.call('HGET', DEFINITIONS, args.id)
-- It was written by an earlier try, whose answer was lost.
if is == args.definition then return reply('done') end
local holder = redis.call('HGET', NAMES, args.name)
if args.was then
  if not is then return reply('unknown') end
  if is ~= args.was then return reply('changed') end
elseif is then
  return reply('changed')
end
if holder and holder ~= args.id then return reply('taken') end
if not is and redis.call('HLEN', DEFINITIONS) >= args.most then return reply('full') end
local name_was = is and decode(is).name
if name_was and name_was ~= args.name then redis.call('HDEL', NAMES, name_was) end
redis.call('HSET', NAMES, args.name, args.id)
redis.call('HSET', DEFINITIONS, args.id, args.definition)
return reply('done')
