-- gov_suspend: jobs that are nobody's for a while no longer count as running; what they have reserved of other limits stays theirs.
-- Safe to repeat.
-- KEYS  1 queue of shard 0
-- args  jobs: id, fence; a permit of another start stays as it is
-- ->    open: who may go on, see governance.lua
local now, freed, written = now_ms(), {}, {}
for id, permit in pairs(read_permits(args.jobs)) do
  local fence
  for _, job in ipairs(args.jobs) do
    if job.id == id then fence = job.fence end
  end
  local changed = false
  for i = 4, permit[1] == fence and #permit or 0, 3 do
    local name = permit[i]
    if permit[i + 1] == RUNNING and permit[i + 2] > 0 then
      permit[i + 2], changed = 0, true
      redis.call('ZREM', running_key(name), id)
      freed[name] = (freed[name] or 0) + 1
    end
  end
  if changed then written[#written + 1], written[#written + 2] = id, cmsgpack.pack(permit) end
end
if #written > 0 then redis.call('HSET', PERMITS, unpack(written)) end
return reply({open = who_waits(freed, now, now)})
