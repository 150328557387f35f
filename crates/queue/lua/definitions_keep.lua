-- definitions_keep: writes a definition that one process makes for all, unless another process has made it before.
-- KEYS  1 queue of shard 0
-- args  name, row, version: the new one, which nobody has used before
-- ->    the row that is kept: the caller's, or that of who came first
if redis.call('HSETNX', DEFINITIONS, args.name, args.row) == 1 then
  redis.call('SET', DEFINITIONS_VERSION, args.version)
  return reply(args.row)
end
return reply(redis.call('HGET', DEFINITIONS, args.name))
