-- history_fold: counts the ends that are noted, and forgets the oldest of the latest ones.
-- KEYS  1 queue
-- args  most: how many are kept
-- ->    how many there are
local recent = recent_key()
fold_ends()
redis.pcall('LTRIM', recent, 0, args.most - 1)
local length = redis.pcall('LLEN', recent)
return reply(type(length) == 'number' and length or 0)
