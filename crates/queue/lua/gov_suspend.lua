-- gov_suspend: jobs that are nobody's for a while no longer count as running; what they have reserved of other limits stays theirs.
-- Safe to repeat.
-- KEYS  1 queue of shard 0
-- args  ids     fences: of each; a permit of another start stays as it is     opens: as in gov_settle
-- ->    open: who may go on, see governance.lua
local now, freed, written = now_ms(), {}, {}
for k, packed in ipairs(read_permits(args.ids)) do
  local id, permit, changed = args.ids[k], packed and read_permit(packed), false
  for i = 4, permit and permit[1] == args.fences[k] and #permit or 0, 3 do
    local name = permit[i]
    if permit[i + 1] == RUNNING and permit[i + 2] > 0 then
      permit[i + 2], changed = 0, true
      redis.call('ZREM', running_key(name), id)
      freed[name] = (freed[name] or 0) + 1
    end
  end
  if changed then written[#written + 1], written[#written + 2] = id, write_permit(permit) end
end
if #written > 0 then redis.call('HSET', PERMITS, unpack(written)) end
return reply({open = args.opens and who_waits(freed, now, now) or {}})
