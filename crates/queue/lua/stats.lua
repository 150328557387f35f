-- stats: how many jobs of a shard are in which state.
-- KEYS  1 queue
-- args  none
-- ->    entries (waiting and running), running, delayed, dead, bytes (of what waits and runs, where that is counted)
return reply({
  entries = redis.call('XLEN', QUEUE), running = count_running(), delayed = redis.call('ZCARD', key('delayed')),
  dead = redis.call('ZCARD', key('dead')), bytes = tonumber(redis.call('GET', key('bytes'))) or 0,
})
