-- hasten: moves jobs out of their lanes whose latest start has passed, for a worker to end them.
-- KEYS  1 queue
-- args  count: at most so many
-- ->    moved: how many     next: the next latest start (ms); absent if there is none
-- While the stream is somebody's lane they would wait behind it, so they are entries that nobody holds.
local moved, now, is_streamed = 0, now_ms(), redis.call('EXISTS', STREAMED) == 1
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'LIMIT', 0, args.count)) do
  local is = redis.pcall('HMGET', job_key(id), 'owner', 'lane')
  if not is.err and leave_lane(lane_of(is[1] or nil, is[2] or nil), id) then
    local entry = enqueue(id)
    redis.call('HSET', job_key(id), 'entry', entry)
    if is_streamed then free_entry(entry, 'hastened') end
    moved = moved + 1
  else
    redis.call('ZREM', DEADLINES, id)
  end
end
if moved > 0 then wake(is_streamed and 'expired' or 'queue') end
return reply({moved = moved, next = tonumber(redis.call('ZRANGE', DEADLINES, 0, 0, 'WITHSCORES')[2])})
