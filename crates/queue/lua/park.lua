-- park: the holder of the fence gives back a job that its limits have not admitted. It waits in its lane, at its place, and that is
-- closed until they may; anyone else changes nothing. The start does not count as an attempt.
-- KEYS  1 queue
-- args  worker
--       jobs: id, entry, fence, sublane (name of the narrow limit that it waits for; absent for another one), until (ms), waits_for
--       (type of the refusal), weight, progress, owed (of one that holds some of its limits: what it has used of them so far)
-- ->    for each 'delayed', be it by an earlier try; 'cancelled' (it is to be ended as such); or 'lost': it is another's by now
-- No lane is closed for longer without a look: jobs that have waited too long by then are ended, and what its limit is may have
-- changed.
local LONGEST_CLOSED_MS = 300 * 1000
local results, entries, closed, reasons, longest = {}, {}, {}, {}, now_ms() + LONGEST_CLOSED_MS
for i, job in ipairs(args.jobs) do
  local record = job_key(job.id)
  local is = redis.pcall('HMGET', record, 'holder', 'cancel', 'owner', 'share', 'lane', 'code')
  local owner = is[3] or nil
  if is.err or not is_held(is[1], job.fence, args.worker) then
    local holder = read_holder(is[1])
    local is_parked = not is[6] and not holder.runs and holder.fence == job.fence
      and redis.pcall('ZSCORE', lane_key(lane_of(owner, is[5])), job.id)
    results[i] = is_parked and type(is_parked) == 'string' and 'delayed' or 'lost'
  elseif is[2] then
    results[i] = 'cancelled'
  else
    local share, lane = read_share(is[4]), lane_of(owner, job.sublane)
    add_to_lane(lane, job.id, {priority = share.priority, weight = sane_weight(job.weight), max_wait_ms = share.max_wait_ms},
      accepted_at(job.id))
    closed[lane] = math.max(closed[lane] or 0, math.min(job.until_ms, longest))
    reasons[lane] = string.format('%s %d', job.waits_for, job.until_ms)
    redis.call('HSET', record, 'holder', job.fence, 'entry', '', 'waits_for', reasons[lane])
    if job.progress ~= '' then redis.call('HSET', record, 'progress', job.progress) end
    if job.owed then redis.call('HSET', record, 'owed', job.owed) end
    if job.sublane then
      redis.call('HSET', record, 'lane', job.sublane)
      redis.call('SADD', sublanes_key(owner or ''), lane)
    end
    redis.call('HINCRBY', record, 'released', 1)
    entries[#entries + 1] = job.entry
    if is_heard() then tell(job.id, job.fence, false, nil, 0, owner) end
    results[i] = 'delayed'
  end
end
remove_entries(entries)
for lane, till in pairs(closed) do close_lane(lane, till, reasons[lane]) end
if write_lanes() then wake('queue') end
publish()
return reply(results)
