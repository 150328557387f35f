-- webhook_scan: looks through rows of one endpoint, the newest first.
-- KEYS  1 queue of shard 0
-- args  endpoint, before: as in webhook_history, most: entries to read at most, retention_ms
--       from, till (ms); events, outcomes, classes ('2', '4', …; 'none' for no answer), request_id, delivery, job: what a row
--       must be like to match (absent: whatever it is)
-- ->    rows: entry, delivery, matches; before: where to go on; absent at the end
local function set_of(list)
  if not list then return nil end
  local set = {}
  for _, value in ipairs(list) do set[value] = true end
  return set
end
local events, outcomes, classes = set_of(args.events), set_of(args.outcomes), set_of(args.classes)
local function matches(row)
  local at = tonumber(string.match(row.entry, '^%d+'))
  local class = row.code == '0' and 'none' or string.sub(row.code or '', 1, 1)
  return (not args.from or at >= args.from) and (not args.till or at <= args.till)
    and (not events or events[row.event]) and (not outcomes or outcomes[row.outcome]) and (not classes or classes[class])
    and (not args.request_id or row.request_id == args.request_id) and (not args.delivery or row.delivery == args.delivery)
    and (not args.job or row.job == args.job)
end
forget_old(args.endpoint, now_ms(), args.retention_ms)
local from = args.before and '(' .. args.before or '+'
local entries, rows = redis.call('XREVRANGE', history_key(args.endpoint), from, '-', 'COUNT', args.most), {}
for _, entry in ipairs(entries) do
  local row = read_row(entry)
  -- What has no delivery is somebody else's writing.
  if row.delivery then
    rows[#rows + 1] = {entry = row.entry, delivery = row.delivery, matches = matches(row) and true or false}
  end
end
return reply({rows = rows, before = #entries == args.most and entries[#entries][1] or nil})
