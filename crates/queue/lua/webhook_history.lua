-- webhook_history: rows of one endpoint, the newest first.
-- KEYS  1 queue of shard 0
-- args  endpoint, before: the entry below which to begin (absent for the newest), skip, count, most: entries to read at most,
--       retention_ms
-- ->    total: rows that it has; rows, skipped; before: where to go on; absent at the end
forget_old(args.endpoint, now_ms(), args.retention_ms)
local history = history_key(args.endpoint)
local total, rows, skipped, before = redis.call('XLEN', history), {}, 0, nil
local wanted = math.min(args.skip + args.count, args.most)
if wanted > 0 then
  local entries = redis.call('XREVRANGE', history, args.before and '(' .. args.before or '+', '-', 'COUNT', wanted)
  for i, entry in ipairs(entries) do
    if i <= args.skip then skipped = skipped + 1 else rows[#rows + 1] = read_row(entry) end
  end
  if #entries == wanted then before = entries[#entries][1] end
end
return reply({total = total, rows = rows, skipped = skipped, before = before})
