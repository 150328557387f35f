-- open_lanes: opens lanes that wait for a limit.
-- KEYS  1 queue
-- args  lanes: these; absent for those whose time has come     all: whatever their time is     count: at most so many of those
-- ->    opened: how many have jobs     empty: how many have none     next: when the next one opens (ms); absent if none is closed
local now, opened, empty = now_ms(), 0, 0
local names = args.lanes or redis.call('ZRANGEBYSCORE', CLOSED, '-inf', args.all and '+inf' or now, 'LIMIT', 0, args.count)
for _, lane in ipairs(names) do
  local was_closed = redis.call('ZREM', CLOSED, lane) == 1
  if was_closed then redis.call('HDEL', REASONS, lane) end
  if redis.call('EXISTS', lane_key(lane)) == 0 then
    forget_lane(lane)
    empty = empty + 1
    -- Its other jobs may still be in the stream.
    if redis.call('GET', STREAMED) == lane then wake('queue') end
  elseif was_closed or not redis.call('ZSCORE', LANES, lane) then
    local weight = read_weight(redis.call('HGET', WEIGHTS, lane))
    -- Its limit may admit few: see feeding.lua.
    if not args.all then write_weight(lane, weight, now, 0) end
    open_lane(lane, weight)
    opened = opened + 1
  end
end
if opened > 0 then wake('queue') end
return reply({opened = opened, empty = empty, next = tonumber(redis.call('ZRANGE', CLOSED, 0, 0, 'WITHSCORES')[2])})
