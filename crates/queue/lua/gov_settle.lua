-- gov_settle: what jobs hold of their limits is free again, and what they have used is counted: once, as only a permit that is there
-- is settled. Safe to repeat.
-- KEYS  1 queue of shard 0
-- args  ids
--       names: of limits and of models, which are known by their places
--       shapes: lists of limits of which jobs have used something
--       numbers: for each job, one behind the other in one list: its shape; fence (a permit of a later start stays); 1 if nobody knows
--       what the job has done, and each of its requests counts, else 0; how much was used of each limit of its shape; how many models
--       follow, and for each its name, requests, input tokens, output tokens, cost, calls without a price, unknown calls
--       starts: where each job begins in it
--       opens: whether who asks can let others go on     now (ms): in tests alone
-- ->    settled: how many had a permit     open: who may go on, see governance.lua
local now = args.now or now_ms()
local settled, freed = settle_jobs(args.ids, args.starts, args.numbers, args.names, args.shapes, now)
return reply({settled = settled, open = args.opens and who_waits(freed, now, now) or {}})
