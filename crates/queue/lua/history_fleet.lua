-- history_fleet: the workers that have told of themselves lately; the others are forgotten.
-- KEYS  1 queue of the shard that has the workers
-- args  silent_ms: after which a worker is gone
-- ->    for each: name, seen (ms), figures (JSON)
return reply(known_workers(now_ms(), args.silent_ms))
