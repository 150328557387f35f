-- note_check: notes that records and entries have been compared just now.
-- KEYS  1 queue of shard 0
-- args  seconds: how long that is worth remembering
-- ->    nothing
redis.call('SET', key('checked'), 1, 'EX', args.seconds)
return reply(true)
