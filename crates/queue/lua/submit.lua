-- submit: writes each job's record and its entry in the queue, or neither.
-- Safe to send again: a job whose record exists is taken once.
-- KEYS  1 queue
-- args  limit, limit_bytes: of what waits, 0 for none     counted: whether to compare with them
--       jobs: id, request, owner and type (absent for none), bytes, latest (ms: from then on its client has given up),
--       body_pieces, media_pieces (how many are staged; absent for none)
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
  local body = job.body_pieces and staged_key(job.id, 'body')
  local media = job.media_pieces and staged_key(job.id, 'media')
  local result = 'accepted'
  if now >= job.latest then
    -- It may have been taken by an earlier try, whose answer was lost.
    result = redis.call('EXISTS', record) == 1 and 'accepted' or 'late'
  elseif room <= 0 or room_bytes < job.bytes then
    result = redis.call('EXISTS', record) == 1 and 'accepted' or 'full'
  elseif (body and not has_pieces(body, job.body_pieces)) or (media and not has_pieces(media, job.media_pieces)) then
    -- They were written before this call, and have expired since; or the job was taken by an earlier try.
    result = redis.call('EXISTS', record) == 1 and 'accepted' or 'late'
  elseif redis.call('HSETNX', record, 'holder', 0) == 1 then
    local fields = {'request', job.request}
    if job.owner then fields[3], fields[4] = 'owner', job.owner end
    if job.type then fields[#fields + 1], fields[#fields + 2] = 'type', job.type end
    redis.call('HSET', record, unpack(fields))
    if body then keep_pieces(body, body_key(job.id)) end
    if media then keep_pieces(media, media_key(job.id)) end
    body, media = nil, nil
    enqueue(job.id)
    room, room_bytes = room - 1, room_bytes - job.bytes
    accepted, added = accepted + 1, added + job.bytes
  end
  -- What was refused, or written once more by a repetition, must not fill Redis until it expires.
  if body then redis.call('UNLINK', body) end
  if media then redis.call('UNLINK', media) end
  results[i] = result
end
if accepted > 0 then wake('queue') end
if args.limit_bytes > 0 and added > 0 then redis.call('INCRBY', key('bytes'), added) end
return reply({
  now = now, room = room < math.huge and room or nil, room_bytes = room_bytes < math.huge and room_bytes or nil,
  results = results,
})
