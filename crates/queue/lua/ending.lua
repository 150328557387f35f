-- How a job ends, and its delivery begins; it stands before each script that does one of it. Who ends one calls write_ends.
-- The other queue of the shard: its jobs are deliveries of webhooks.
local DELIVERIES = PREFIX .. 'hooks:'

-- Adds a delivery, unless it is under way. One that has ended begins anew, with its attempts counted from 1.
-- -> whether it was added
local function add_delivery(id, request, now)
  local record = DELIVERIES .. 'job:' .. id
  if redis.call('HSETNX', record, 'holder', 0) == 0 then
    local was = redis.call('HMGET', record, 'holder', 'code')
    if not was[2] then return false end
    local fence = read_holder(was[1]).fence
    redis.call('DEL', record)
    redis.call('HSET', record, 'holder', fence, 'released', fence)
  end
  redis.call('HSET', record, 'request', request, 'queued', now)
  redis.call('XADD', DELIVERIES .. 'queue', '*', 'id', id)
  redis.call('ZADD', DELIVERIES .. 'wake', 1, 'queue')
  return true
end

-- The code of a cancelled job.
local CANCELLED = 499

-- What end_job has to know of a record, and what it removes of it.
local END_FIELDS = {'holder', 'code', 'owner', 'hook', 'once', 'cancel', 'released', 'progress', 'history', 'queued', 'share', 'lane',
  'waits_for', 'owed'}
local function read_for_end(record)
  local values = redis.pcall('HMGET', record, unpack(END_FIELDS))
  if values.err then return {} end
  local is = {}
  for i, name in ipairs(END_FIELDS) do is[name] = values[i] or nil end
  return is
end

-- Whether the job has ended as cancelled. An earlier version's worker ends one that is to be cancelled as if it were not.
local function is_cancelled(is) return is.cancel and tonumber(is.code) == CANCELLED end

-- Writes a job's end: the record, the delivery of its webhook, and what is told to those who wait, together or not at all.
-- is: see read_for_end; job: id, fence, code, ttl_ms, outcome or (token, size) of one that is kept already, media_index,
-- owed: what it has used of its limits (absent for what its record says, or nothing)
local function end_job(record, is, job, now)
  -- A worker's time is an estimate.
  now = math.max(now, whole(is.cancel) or 0)
  local expires = now + job.ttl_ms
  redis.call('HSET', record, 'request', '', 'entry', '', 'holder', job.fence, 'code', job.code,
    job.token and 'apart' or 'outcome', job.token and string.format('%s %d', job.token, job.size) or job.outcome,
    'completed', now, 'expires', expires)
  if job.media_index then redis.call('HSET', record, 'media', job.media_index) end
  if is.released or is.progress or is.history or is.queued or is.hook or is.once or is.share or is.waits_for or is.owed then
    redis.call('HDEL', record, 'released', 'progress', 'history', 'queued', 'hook', 'once', 'share', 'lane', 'waits_for', 'owed')
  end
  -- It is counted where the limits are, which may be on another node.
  if job.owed or is.owed then redis.call('HSET', key('owed'), job.id, job.owed or is.owed) end
  redis.call('PEXPIRE', record, job.ttl_ms)
  if is.once then
    -- What is remembered of its submit lives as long as the job does, and for a while at least.
    for name, least in string.gmatch(is.once, '(%S+) (%d+)') do
      redis.call('PEXPIRE', key(name), math.max(job.ttl_ms, accepted_at(job.id) + least - now))
    end
  end
  if is.hook then
    local delivery, hook = string.match(is.hook, '^(%S+) (.*)$')
    if delivery then
      local head = string.format('%s %d %d %d %d', job.id, job.code, now, expires, is.cancel and 1 or 0)
      add_delivery(delivery, head .. '\n' .. hook, now)
    end
  end
  if IS_JOBS then note_end(job.id, job.code, is.cancel, now) end
  if is_heard() then tell(job.id, job.fence, false, is.cancel, job.code, is.owner) end
end
