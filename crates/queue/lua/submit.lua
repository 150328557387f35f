-- submit: writes each job's record, and its entry in the queue or its place in a lane, or neither.
-- Safe to send again: a job whose record exists is taken once.
-- KEYS  1 queue
-- args  limit, limit_bytes: of what waits, 0 for none     counted: whether to compare with them
--       lists: whether jobs are to be found by their owner
--       jobs: id, request, model, owner and type (absent for none), bytes, latest (ms: from then on its client has given up),
--       body_pieces, media_pieces (how many are staged; absent for none), hook (what is to be delivered at its end),
--       run_at (ms: not to be started before), echo (what its Response repeats of the request), share (absent for the usual one, see lanes.lua),
--       max_waiting (how many jobs of its owner may wait in this shard; absent for no limit),
--       owed (of one that its limits have admitted already: nothing), and what tells a repeated submit:
--       once: name, print    of an idempotency key, and of the request that it came with
--       sent: name, count    of a request, and how many tries of its client came before
-- ->    now (ms), room and room_bytes (what may still come; absent if not counted), results: for each job
--       'accepted', 'full', 'queue_limited' (its owner has as many waiting jobs as it may have), 'late', 'conflict' (its key came
--       with another request), or 'replayed <id>' of the job that was accepted before
local time = redis.call('TIME')
-- Jobs that come in one millisecond stay in their order, in lanes, too.
local precise = time[1] * 1000 + math.floor(time[2] * 128 / 1000) / 128
local now, room, room_bytes = math.floor(precise), math.huge, math.huge
-- Longer than any job lives: its end says how long exactly.
local ONCE_MS = 100 * 24 * 3600 * 1000
-- How long they are remembered after the submit, at least.
local KEY_MS, SENT_MS = 24 * 3600 * 1000, 180 * 1000

if args.counted then
  if args.limit > 0 then
    -- A delayed job waits, too.
    local waiting = redis.call('XLEN', QUEUE) + redis.call('ZCARD', key('delayed')) + (tonumber(redis.call('GET', LANED)) or 0)
    -- What somebody else has removed was never subtracted.
    if waiting == 0 then redis.call('DEL', key('bytes')) end
    if waiting + #args.jobs > args.limit then waiting = waiting - count_running() end
    room = args.limit - waiting
  end
  if args.limit_bytes > 0 then
    room_bytes = args.limit_bytes - (tonumber(redis.call('GET', key('bytes'))) or 0)
  end
end

-- What is remembered of a try: the job's id, how many came before it, and the id that this one would have been given.
local function write_sent(id, job) return id .. ' ' .. job.sent.count .. ' ' .. job.id end

-- What was said to an earlier submit that this one repeats; nil if there was none.
local function earlier(job)
  if job.once then
    local id, print = string.match(redis.call('GET', key(job.once.name)) or '', '^(%S+) (%S+)$')
    if id and id ~= job.id then return print == job.once.print and 'replayed ' .. id or 'conflict' end
  end
  if job.sent and job.sent.count > 0 then
    local name = key(job.sent.name)
    local id, count, asked = string.match(redis.call('GET', name) or '', '^(%S+) (%d+) (%S+)$')
    -- This very call may have been taken before, and its answer lost.
    if asked == job.id and id ~= job.id then return 'replayed ' .. id end
    if id and id ~= job.id and job.sent.count > tonumber(count) then
      redis.call('SET', name, write_sent(id, job), 'KEEPTTL')
      return 'replayed ' .. id
    end
  end
end

-- Remembers the submit; gives what its record keeps of that.
local function remember(job)
  local names = {}
  if job.once then
    redis.call('SET', key(job.once.name), job.id .. ' ' .. job.once.print, 'PX', ONCE_MS)
    names[#names + 1] = job.once.name .. ' ' .. KEY_MS
  end
  if job.sent then
    redis.call('SET', key(job.sent.name), write_sent(job.id, job), 'PX', ONCE_MS)
    names[#names + 1] = job.sent.name .. ' ' .. SENT_MS
  end
  return names[1] and table.concat(names, ' ')
end

-- Whether a job's owner has as many in lanes as it may have. One that waits for its time is in none.
local waiting_of = {}
local function is_limited(job)
  if not job.max_waiting then return false end
  local owner = job.owner or ''
  local waiting = waiting_of[owner]
  if not waiting then
    waiting = redis.call('ZCARD', lane_key(owner))
    for _, lane in ipairs(redis.call('SMEMBERS', sublanes_key(owner))) do waiting = waiting + redis.call('ZCARD', lane_key(lane)) end
  end
  waiting_of[owner] = waiting
  return waiting >= job.max_waiting
end

local results, accepted, queued, added = {}, {}, 0, 0
for i, job in ipairs(args.jobs) do
  local record = job_key(job.id)
  local body = job.body_pieces and staged_key(job.id, 'body')
  local media = job.media_pieces and staged_key(job.id, 'media')
  local result = (job.once or job.sent) and earlier(job)
  if result then
    -- Nothing is taken.
  elseif now >= job.latest then
    -- It may have been taken by an earlier try, whose answer was lost.
    result = redis.call('EXISTS', record) == 1 and 'accepted' or 'late'
  elseif room <= 0 or room_bytes < job.bytes then
    result = redis.call('EXISTS', record) == 1 and 'accepted' or 'full'
  elseif (body and not has_pieces(body, job.body_pieces)) or (media and not has_pieces(media, job.media_pieces)) then
    -- They were written before this call, and have expired since; or the job was taken by an earlier try.
    result = redis.call('EXISTS', record) == 1 and 'accepted' or 'late'
  elseif is_limited(job) then
    result = redis.call('EXISTS', record) == 1 and 'accepted' or 'queue_limited'
  elseif redis.call('HSETNX', record, 'holder', 0) == 1 then
    local fields = {'request', job.request, 'model', job.model}
    local function add(name, value) fields[#fields + 1], fields[#fields + 2] = name, value end
    if job.owner then add('owner', job.owner) end
    if job.type then add('type', job.type) end
    if job.hook then add('hook', job.hook) end
    if job.echo then add('echo', job.echo) end
    if job.owed then add('owed', job.owed) end
    if job.share then add('share', job.share) end
    if job.once or job.sent then add('once', remember(job)) end
    if job.run_at and job.run_at > now then
      redis.call('ZADD', key('delayed'), job.run_at, job.id)
      add('queued', job.run_at)
    else
      local entry = place_job(job.id, job.owner, read_share(job.share), precise + i / 128, job.max_waiting, true)
      if entry then
        add('entry', entry)
        queued = queued + 1
      elseif job.max_waiting then
        waiting_of[job.owner or ''] = waiting_of[job.owner or ''] + 1
      end
    end
    redis.call('HSET', record, unpack(fields))
    if body then keep_pieces(body, body_key(job.id)) end
    if media then keep_pieces(media, media_key(job.id)) end
    body, media = nil, nil
    room, room_bytes = room - 1, room_bytes - job.bytes
    accepted[#accepted + 1], added = job, added + job.bytes
    result = 'accepted'
  else
    result = 'accepted'
  end
  -- The first try of another call: its next one repeats none of the call before.
  if job.sent and job.sent.count == 0 and result ~= 'accepted' then redis.call('DEL', key(job.sent.name)) end
  -- What was refused, or written once more by a repetition, must not fill Redis until it expires.
  if body then redis.call('UNLINK', body) end
  if media then redis.call('UNLINK', media) end
  results[i] = result
end
if write_lanes() or queued > 0 then wake('queue') end
if args.limit_bytes > 0 and added > 0 then redis.call('INCRBY', key('bytes'), added) end
if args.lists then
  local lists = {}
  for _, job in ipairs(accepted) do
    local owner = job.owner or ''
    local list = lists[owner] or {}
    list[#list + 1], list[#list + 2] = 0, job.id
    lists[owner] = list
  end
  local owners = {}
  for owner, list in pairs(lists) do
    redis.call('ZADD', list_key(owner), unpack(list))
    owners[#owners + 1] = owner
  end
  if #owners > 0 then redis.call('SADD', key('owners'), unpack(owners)) end
end
if #accepted > 0 and IS_JOBS then add_to_minute(math.floor(now / 60000), 'a', #accepted) end
return reply({
  now = now, room = room < math.huge and room or nil, room_bytes = room_bytes < math.huge and room_bytes or nil,
  results = results,
})
