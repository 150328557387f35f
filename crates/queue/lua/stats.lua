-- stats: how many jobs of a shard are in which state.
-- KEYS  1 queue
-- args  none
-- ->    entries (waiting and running), running, laned (waiting in lanes), delayed, dead, bytes (of what waits and runs, where that is
--       counted), lanes, closed (how many of them are open, and wait for a limit)
return reply({
  entries = redis.call('XLEN', QUEUE), running = count_running(), laned = tonumber(redis.call('GET', key('laned'))) or 0,
  lanes = redis.call('ZCARD', key('lanes')) - redis.call('EXISTS', key('streamed')), closed = redis.call('ZCARD', key('closed')), delayed = redis.call('ZCARD', key('delayed')),
  dead = redis.call('ZCARD', key('dead')), bytes = tonumber(redis.call('GET', key('bytes'))) or 0,
})
