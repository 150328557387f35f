-- submit: writes each job's record and its entry in the queue, or neither.
-- Safe to send again: a job whose record exists is taken once.
-- KEYS  1 queue   2 later   3.. one job each   then the body of each whose request ends with the header's line
-- ARGV  1 group   2 limit of waiting jobs, 0 for none   3 until when its clients wait, in ms, 0 for unknown
--       then for each job: id, request, owner ('' for none)
-- ->    the time in ms, then for each job: 1 accepted   0 refused, the queue is full
--                                          -1 refused, it came too late: its client has been told so
local queue, later, group, limit, latest = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local jobs = (#ARGV - 3) / 3
local used = 2 + jobs

local room = math.huge
if limit > 0 then
  -- A job that sleeps waits, too.
  local waiting = redis.call('XLEN', queue) + redis.call('ZCARD', later)
  if waiting + jobs > limit then
    -- What is delivered and not yet ended is in the stream too, but does not wait.
    local pending = redis.pcall('XPENDING', queue, group)
    if not pending.err then waiting = waiting - pending[1] end
  end
  room = limit - waiting
end

local taken = {now}
for i = 1, jobs do
  local job = KEYS[i + 2]
  local id, request, owner = ARGV[3 * i + 1], ARGV[3 * i + 2], ARGV[3 * i + 3]
  local body
  if string.sub(request, -1) == '\n' then
    used = used + 1
    body = KEYS[used]
  end
  if redis.call('EXISTS', job) == 1 then
    taken[i + 1] = 1
  elseif latest > 0 and now > latest then
    taken[i + 1] = -1
  elseif room <= 0 then
    taken[i + 1] = 0
  elseif body and redis.call('PERSIST', body) == 0 then
    -- It was written beside this call, and has expired since.
    taken[i + 1] = -1
  else
    room = room - 1
    local entry = redis.call('XADD', queue, '*', 'id', id)
    redis.call('HSET', job, 'status', 'pending', 'entry', entry, 'request', request)
    if owner ~= '' then redis.call('HSET', job, 'owner', owner) end
    taken[i + 1] = 1
  end
  -- What was refused must not fill Redis until it expires.
  if body and taken[i + 1] ~= 1 then redis.call('UNLINK', body) end
end
return taken
