-- gov_settle: what jobs hold of their limits is free again, and what they have used is counted: once, as only a permit that is there
-- is settled. Safe to repeat.
-- KEYS  1 queue of shard 0
-- args  ids
--       names: of limits and of models, which jobs name by their places
--       jobs: for each, in a list: fence (a permit of a later start stays), swept (1 if nobody knows what the job has done: each of its
--       requests counts; else 0), how many limits follow, for each its name and how much was used; then for each model its name,
--       requests, input tokens, output tokens, cost, calls without a price, unknown calls
--       opens: whether who asks can let others go on     now (ms): in tests alone
-- ->    settled: how many had a permit     open: who may go on, see governance.lua
local now = args.now or now_ms()
local settled, freed = settle_jobs(args.ids, args.jobs, args.names, now)
return reply({settled = settled, open = args.opens and who_waits(freed, now, now) or {}})
