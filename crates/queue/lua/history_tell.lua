-- history_tell: a worker says how it is. One that leads lets the registry live on, and forgets workers that are gone.
-- KEYS  1 queue of the shard that has the workers
-- args  worker, figures (JSON), leads, silent_ms: after which a worker is gone, kept_ms, now (ms; absent where the worker does not
--       know Redis's time)
-- ->    whether it was noted: somebody else's key may stand there
local now = args.now or now_ms()
local added = redis.pcall('HSET', WORKERS, args.worker, string.format('%d %s', now, args.figures))
if type(added) ~= 'number' then return reply(false) end
if added == 1 or args.leads then redis.call('PEXPIRE', WORKERS, args.kept_ms) end
if args.leads then known_workers(now, args.silent_ms) end
return reply(true)
