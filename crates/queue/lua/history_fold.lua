-- history_fold: counts the ends that are noted, and forgets the oldest of the latest ones.
-- KEYS  1 queue
-- args  most: how many are kept
-- ->    how many there are
fold_ends()
redis.pcall('LTRIM', RECENT, 0, args.most - 1)
local length = redis.pcall('LLEN', RECENT)
return reply(type(length) == 'number' and length or 0)
