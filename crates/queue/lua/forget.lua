-- forget: removes all of a job that has ended.
-- KEYS  1 queue
-- args  id
-- ->    whether it is gone; one that waits or runs stays
local id, record = args.id, job_key(args.id)
local holder, code, apart, owner = unpack(redis.call('HMGET', record, 'holder', 'code', 'apart', 'owner'))
if holder and not code then return reply(false) end
local token = string.match(apart or '', '^%S+')
if token then redis.call('UNLINK', outcome_key(id, token)) end
-- With what is kept of one that was given up on.
redis.call('UNLINK', record, letter_key(id), body_key(id), media_key(id))
redis.call('ZREM', key('dead'), id)
redis.call('HDEL', key('dead_bytes'), id)
redis.call('ZREM', list_key(owner or ''), id)
return reply(true)
