-- shards: the number of shards in use, which this raises where it is smaller than what is wanted.
-- KEYS  1 queue of shard 0
-- args  wanted     places: whether the caller is an API process, which spreads its jobs over so many
-- ->    used: the number in use     others: other numbers that API processes spread jobs over, or did
-- What is remembered of a submit lives as long as its job: that may start 30 days later, and its result be kept for 30 more.
local REMEMBERED_MS = 60 * 24 * 3600 * 1000
local NOTED_AGAIN_MS = 3600 * 1000
local used = tonumber(redis.call('GET', key('shards')) or 1) or 1
if args.wanted > used then
  used = args.wanted
  redis.call('SET', key('shards'), used)
end
local others, now, numbers = {}, now_ms(), key('shard_numbers')
if args.places then
  local noted = tonumber(redis.call('ZSCORE', numbers, args.wanted) or 0)
  if math.abs(now - noted) > NOTED_AGAIN_MS then
    redis.call('ZADD', numbers, now, args.wanted)
    redis.call('ZREMRANGEBYSCORE', numbers, '-inf', now - REMEMBERED_MS)
  end
  for _, number in ipairs(redis.call('ZRANGEBYSCORE', numbers, now - REMEMBERED_MS, '+inf')) do
    number = tonumber(number)
    if number and number ~= args.wanted then others[#others + 1] = number end
  end
end
return reply({used = used, others = others})
