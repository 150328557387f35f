-- forget: removes all of a job that has ended.
-- KEYS  1 queue
-- args  id
-- ->    whether it is gone; one that waits or runs stays
local id, record = args.id, job_key(args.id)
local is = redis.call('HMGET', record, 'holder', 'code', 'apart', 'owner')
if is[1] and not is[2] then return reply(false) end
local token = string.match(is[3] or '', '^%S+')
if token then redis.call('UNLINK', outcome_key(id, token)) end
redis.call('UNLINK', record)
-- What is kept of one that was given up on.
if redis.call('ZREM', key('dead'), id) == 1 then
  redis.call('HDEL', key('dead_bytes'), id)
  redis.call('UNLINK', letter_key(id), body_key(id), media_key(id))
end
redis.call('ZREM', list_key(is[4] or ''), id)
return reply(true)
