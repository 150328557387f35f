-- definitions_put: writes and removes definitions of governance, all of them or none, if they still are what the caller has read.
-- KEYS  1 queue of shard 0
-- args  was: the version that the caller has read; absent for none;   version: the new one, which nobody has used before
--       puts: for each name, row;   removes: names;   most: so many definitions at most
-- ->    'done', 'changed' (they are others by now) or 'full'
local is = redis.call('GET', DEFINITIONS_VERSION) or nil
-- It was written by an earlier try, whose answer was lost.
if is == args.version then return reply('done') end
if is ~= args.was then return reply('changed') end
local new = 0
for _, put in ipairs(args.puts) do new = new + 1 - redis.call('HEXISTS', DEFINITIONS, put.name) end
for _, name in ipairs(args.removes) do new = new - redis.call('HEXISTS', DEFINITIONS, name) end
if new > 0 and redis.call('HLEN', DEFINITIONS) + new > args.most then return reply('full') end
for _, name in ipairs(args.removes) do redis.call('HDEL', DEFINITIONS, name) end
for _, put in ipairs(args.puts) do redis.call('HSET', DEFINITIONS, put.name, put.row) end
redis.call('SET', DEFINITIONS_VERSION, args.version)
return reply('done')
