-- webhook_rows: these rows of one endpoint; those that are no more are left out.
-- KEYS  1 queue of shard 0
-- args  endpoint, entries, with_request: whether what a redelivery needs goes along, retention_ms
-- ->    rows
forget_old(args.endpoint, now_ms(), args.retention_ms)
local rows = {}
for _, id in ipairs(args.entries) do
  local entry = redis.call('XRANGE', history_key(args.endpoint), id, id)[1]
  if entry then rows[#rows + 1] = read_row(entry, args.with_request) end
end
return reply(rows)
