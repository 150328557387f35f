-- promote: queues delayed jobs whose time has come.
-- KEYS  1 queue
-- args  count: at most so many
-- ->    promoted: how many were queued     now (ms)     next: when the next one is due (ms); absent if none is left
local now, delayed, promoted, has_entries = now_ms(), key('delayed'), 0, nil
local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'WITHSCORES', 'LIMIT', 0, args.count)
for i = 1, #due, 2 do
  local id = due[i]
  redis.call('ZREM', delayed, id)
  local is = redis.pcall('HMGET', job_key(id), 'request', 'holder', 'code', 'owner', 'share')
  -- What has no record is nobody's job.
  if is[1] and not is[3] and not read_holder(is[2]).runs then
    -- It has waited since it was due, though nobody may have looked.
    local entry = place_job(id, is[4], read_share(is[5]), accepted_at(id))
    redis.call('HSET', job_key(id), 'queued', due[i + 1], 'entry', entry or '')
    has_entries = has_entries or entry
    promoted = promoted + 1
  end
end
if write_lanes() or has_entries then wake('queue') end
return reply({promoted = promoted, now = now, next = tonumber(redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2])})
