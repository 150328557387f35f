-- submit: writes each job's record and its entry in the queue, or neither.
-- Safe to send again: a job whose record exists is taken once.
-- KEYS  1 queue
-- args  limit, limit_bytes: of what waits, 0 for none     counted: whether to compare with them
--       jobs: id, request, owner (absent for none), bytes, latest (ms: its client has given up then), staged (its body
--       is under a key of its own)
-- ->    now (ms), room and room_bytes (what may still come; absent if not counted), results: for each job
--       'accepted', 'full' or 'late'
local now, room, room_bytes = now_ms(), math.huge, math.huge
if args.counted then
  if args.limit > 0 then
    -- A delayed job waits, too.
    local waiting = redis.call('XLEN', QUEUE) + redis.call('ZCARD', key('delayed'))
    -- What somebody else has removed was never subtracted.
    if waiting == 0 then redis.call('DEL', key('bytes')) end
    if waiting + #args.jobs > args.limit then waiting = waiting - count_running() end
    room = args.limit - waiting
  end
  if args.limit_bytes > 0 then
    room_bytes = args.limit_bytes - (tonumber(redis.call('GET', key('bytes'))) or 0)
  end
end

local results, accepted, added = {}, 0, 0
for i, job in ipairs(args.jobs) do
  local record = job_key(job.id)
  local result = 'accepted'
  if now > job.latest then
    -- It may have been taken by an earlier try, whose answer was lost.
    result = redis.call('EXISTS', record) == 1 and 'accepted' or 'late'
  elseif room <= 0 or room_bytes < job.bytes then
    result = redis.call('EXISTS', record) == 1 and 'accepted' or 'full'
  elseif job.staged and redis.call('EXISTS', body_key(job.id)) == 0 then
    -- It was written before this call, and has expired since; or the job was taken by an earlier try, and has ended.
    result = redis.call('EXISTS', record) == 1 and 'accepted' or 'late'
  elseif redis.call('HSETNX', record, 'holder', 0) == 1 then
    if job.owner then
      redis.call('HSET', record, 'request', job.request, 'owner', job.owner)
    else
      redis.call('HSET', record, 'request', job.request)
    end
    if job.staged then redis.call('PERSIST', body_key(job.id)) end
    enqueue(job.id)
    room, room_bytes = room - 1, room_bytes - job.bytes
    accepted, added = accepted + 1, added + job.bytes
  end
  -- What was refused must not fill Redis until it expires.
  if job.staged and result ~= 'accepted' then redis.call('UNLINK', body_key(job.id)) end
  results[i] = result
end
if accepted > 0 then wake('queue') end
if args.limit_bytes > 0 and added > 0 then redis.call('INCRBY', key('bytes'), added) end
return reply({
  now = now, room = room < math.huge and room or nil, room_bytes = room_bytes < math.huge and room_bytes or nil,
  results = results,
})
