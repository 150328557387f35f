-- claim: gives a worker jobs to run, and makes it their holder. The fence grows with each start; every later write must
-- show it.
-- KEYS  1 queue
-- args  worker, count (at most so many), now (ms), lease_ms, token (of this call)
--       source: 'queue'    what waits: new entries, and jobs from the lanes, which get one
--               'expired'  entries that nobody has renewed for idle_ms: those of gone workers, and released ones
--               'repeat'   what an earlier call with this token gave, whose answer was lost
--       held: of 'expired', the ids of the jobs that this worker runs
-- ->    taken: how many entries were claimed, those that came to nothing among them
--       jobs: for each that is to be run: id, entry, fence, request, owner, released, history, progress, queued (ms), share,
--       cancelled (it is to be ended as such); members without a value are absent
--       again_ms: there are more, which may be claimed so much later; absent if there are none
local now, lease_ms, worker = args.now, args.lease_ms, args.worker
-- No lease is longer: one that seems to be is the work of a clock that was set back.
local LONGEST_LEASE_MS = 3600 * 1000
-- Clocks are estimated to within so much.
local TOLERANCE_MS = 100

-- Entries that were made for jobs of lanes just now, by the call.
local fed, again_ms = {}, nil
local function read_new(count)
  local streams = with_group('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', count, 'STREAMS', QUEUE, '>')
  return streams and streams[1] and streams[1][2] or {}
end

-- Takes what waits: entries of the stream, and jobs of the lanes, which are given one.
local function take(count)
  local taken = take_waiting(count, read_new)
  local entries, ids = taken.entries, taken.ids
  if taken.is_paced and #entries + #ids < count then again_ms = PACE_MS end
  if #ids == 0 then return entries end
  local made = {}
  for i, id in ipairs(ids) do made[i] = enqueue(id) end
  for _, entry in ipairs(made) do fed[entry] = true end
  local more
  if taken.is_read then
    more = read_new(#ids)
  else
    -- They are behind what waits in the stream, and will be given out once more if they are there when it is read. A claim leaves
    -- alone what runs.
    made[#made + 1] = 'FORCE'
    more = with_group('XCLAIM', QUEUE, GROUP, worker, 0, unpack(made))
  end
  if #entries == 0 then return more end
  for _, entry in ipairs(more) do entries[#entries + 1] = entry end
  return entries
end

local function claim()
  if args.source == 'expired' then
    local idle = with_group('XPENDING', QUEUE, GROUP, 'IDLE', args.idle_ms, '-', '+', args.count)
    if #idle == 0 then return {} end
    local entries = {}
    for i, row in ipairs(idle) do entries[i] = row[1] end
    return redis.call('XCLAIM', QUEUE, GROUP, worker, args.idle_ms, unpack(entries))
  end
  if args.source == 'queue' then
    return IS_JOBS and take(args.count) or read_new(args.count)
  end
  local streams = with_group('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', args.count, 'STREAMS', QUEUE, '0')
  return streams and streams[1] and streams[1][2] or {}
end

local held = {}
for _, id in ipairs(args.held) do held[id] = true end
local entries = claim()
local jobs, strangers = {}, {}
local function add(entry, id, is, holder, fence, history)
  jobs[#jobs + 1] = {
    id = id, entry = entry, fence = fence, request = is[1], owner = is[4] or nil, released = whole(is[5]),
    history = history or nil, progress = is[7] or nil,
    -- What ran has not waited meanwhile.
    queued = whole(holder.runs and holder.lease_end or is[8]) or (fed[entry] and accepted_at(id)) or nil,
    cancelled = is[9] and true or nil, share = is[10] or nil,
  }
end

for _, found in ipairs(entries) do
  local entry, fields = found[1], found[2] or {}
  local id = fields[1] == 'id' and fields[2] or ''
  local record = job_key(id)
  -- What is no hash must not keep the others from being started.
  local is = redis.pcall('HMGET', record, 'request', 'holder', 'code', 'owner', 'released', 'history', 'progress', 'queued',
    'cancel', 'share', 'waits_for')
  local holder = read_holder(is[2])
  local left = holder.runs and (holder.lease_end or 0) - now or 0
  if #id ~= 36 or not is[1] or is[3] then
    -- It names no job, or one that has ended.
    strangers[#strangers + 1] = entry
  elseif args.source == 'repeat' then
    if holder.worker == worker and holder.token == args.token then add(entry, id, is, holder, holder.fence, is[6]) end
  elseif held[id] or (args.source == 'queue' and holder.worker == worker and left > -2 * lease_ms) then
    -- It runs here, and its lease is about to be renewed.
  elseif left > TOLERANCE_MS and left <= LONGEST_LEASE_MS then
    -- It runs elsewhere. A lost group that was made again gives out such a job once more: its entry gets the idle time that goes
    -- with the lease, so that it is found as soon as the lease ends.
    redis.call('XCLAIM', QUEUE, GROUP, worker, 0, entry, 'IDLE', math.max(lease_ms - left, 0), 'JUSTID')
  elseif args.source == 'queue' and #jobs == args.count then
    free_entry(entry, worker)
  else
    local fence, history = holder.fence + 1, is[6]
    if holder.runs then
      history = (history or '') .. holder.worker .. ' ' .. holder.started .. '\n'
      redis.call('HSET', record, 'history', history)
    end
    local text = write_holder(fence, worker, args.token, now, now + lease_ms)
    if fed[entry] then
      redis.call('HSET', record, 'holder', text, 'entry', entry)
      if is[10] and read_share(is[10]).max_wait_ms then redis.call('ZREM', DEADLINES, id) end
    else
      redis.call('HSET', record, 'holder', text)
    end
    if is[11] then redis.call('HDEL', record, 'waits_for', 'lane') end
    add(entry, id, is, holder, fence, history)
    if is_heard() then tell(id, fence, true, is[9], 0, is[4]) end
  end
end
remove_entries(strangers)
-- There may be more: for the next idle worker.
if #entries >= args.count and args.source ~= 'repeat' then wake(args.source) end
publish()
return reply({taken = #entries, jobs = jobs, again_ms = again_ms})
