-- gov_usage: how much of each limit is used now. It writes nothing.
-- KEYS  1 queue of shard 0
-- args  limits: name, max, window, kind (see governance.lua)     now (ms): in tests alone
-- ->    for each: used, reserved, since and ends (ms; absent for a window that was never used, and for one that never ends)
local now, rows = args.now or now_ms(), {}
for i, limit in ipairs(args.limits) do
  local state = read_limit(limit, now)
  if state.s == RUNNING then
    rows[i] = {used = state.r, reserved = 0}
  else
    rows[i] = {used = state.u, reserved = state.r, since = state.s, ends = state.e}
  end
end
return reply(rows)
