-- promote: queues delayed jobs whose time has come.
-- KEYS  1 queue
-- args  count: at most so many
-- ->    promoted: how many were queued     now (ms)     next: when the next one is due (ms); absent if none is left
local now, delayed, promoted = now_ms(), key('delayed'), 0
local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'WITHSCORES', 'LIMIT', 0, args.count)
for i = 1, #due, 2 do
  local id = due[i]
  redis.call('ZREM', delayed, id)
  local is = redis.pcall('HMGET', job_key(id), 'request', 'holder', 'code')
  -- What has no record is nobody's job.
  if is[1] and not is[3] and not read_holder(is[2]).runs then
    -- It has waited since it was due, though nobody may have looked.
    redis.call('HSET', job_key(id), 'queued', due[i + 1], 'entry', enqueue(id))
    promoted = promoted + 1
  end
end
if promoted > 0 then wake('queue') end
return reply({promoted = promoted, now = now, next = tonumber(redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2])})
