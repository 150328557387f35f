-- gov_usage: how much of each limit is used now. It writes nothing.
-- KEYS  1 queue of shard 0
-- args  limits: see governance.lua     now (ms): in tests alone
-- ->    for each, in a list: used, reserved, since and ends (ms; none for jobs that run; no end for a window that never ends)
local now, rows = args.now or now_ms(), {}
for i, limit in ipairs(named(args.limits)) do
  local state = read_limit(limit, now)
  if state.s == RUNNING then
    rows[i] = {state.r, 0}
  else
    rows[i] = {state.u, state.r, state.s, state.e}
  end
end
return reply(rows)
