-- repair_lanes: counts the jobs that wait in lanes, and forgets lanes without jobs.
-- KEYS  1 queue
-- args  repair: whether what is wrong is mended
-- ->    jobs: how many wait in lanes     sound: whether they were counted right, and each lane that is known has jobs
local jobs, counted, is_sound = 0, tonumber(redis.call('GET', LANED)) or 0, true
for _, set in ipairs({LANES, CLOSED}) do
  for _, lane in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    local size = redis.pcall('ZCARD', lane_key(lane))
    if type(size) == 'number' and size > 0 then
      jobs = jobs + size
    elseif not is_stream_lane(lane) then
      is_sound = false
      if args.repair then forget_lane(lane) end
    end
  end
end
if jobs ~= counted then
  is_sound = false
  if args.repair then redis.call('SET', LANED, jobs) end
  if args.repair and jobs == 0 then redis.call('DEL', LANED) end
end
-- Whose lane the stream is, is known where the lane is, and there alone.
local owner = redis.pcall('GET', STREAMED)
local function is_lane() return redis.call('ZSCORE', LANES, stream_lane(owner)) or redis.call('ZSCORE', LANES, moving_lane(owner)) end
if owner and (owner.err or not is_lane()) then
  is_sound = false
  if args.repair then redis.call('DEL', STREAMED) end
end
return reply({jobs = jobs, sound = is_sound})
