-- finish: the holder of the fence ends its job; anyone else changes nothing.
-- KEYS  1 queue
-- args  worker, now (ms)
--       dead: what is kept of dead letters: letters, age_ms, bytes
--       jobs: id, entry, fence, code, ttl_ms, outcome, or token where the outcome is under a key of its own;
--       reason: why it was given up on, absent if it was not; staged: whether its body is under a key of its own;
--       bytes: what it counted as while it waited, 0 for nothing
-- ->    for each job 'done', 'already_done' (by this fence), 'lost', 'gone' (no such record), or 'expired' (the key of its
--       outcome is gone; nothing is written)
local now = args.now

-- Forgets the oldest dead letters until what is left is within bounds.
local function trim_letters(dead, sizes)
  local bytes = 0
  for _, size in ipairs(redis.call('HVALS', sizes)) do bytes = bytes + size end
  while true do
    local id, at = unpack(redis.call('ZRANGE', dead, 0, 0, 'WITHSCORES'))
    if not id then return end
    local is_old = now - at > args.dead.age_ms
    if not is_old and bytes <= args.dead.bytes and redis.call('ZCARD', dead) <= args.dead.letters then return end
    bytes = bytes - (redis.call('HGET', sizes, id) or 0)
    redis.call('HDEL', sizes, id)
    redis.call('UNLINK', letter_key(id), body_key(id))
    redis.call('ZREM', dead, id)
  end
end

-- Keeps what it takes to queue the job again, after its record has expired, too. A body under a key of its own stays there.
local function keep_letter(job, request, owner, history)
  local letter, dead, sizes = letter_key(job.id), key('dead'), key('dead_bytes')
  local body = job.staged and redis.pcall('STRLEN', body_key(job.id)) or 0
  local bytes = #request + (tonumber(body) or 0)
  redis.call('HSET', letter, 'reason', job.reason, 'request', request, 'history', history or '', 'fence', job.fence)
  if owner then redis.call('HSET', letter, 'owner', owner) end
  redis.call('PEXPIRE', letter, args.dead.age_ms)
  if not tonumber(body) then
    -- It is no text: nobody can use it.
    redis.call('UNLINK', body_key(job.id))
  elseif job.staged then
    redis.call('PEXPIRE', body_key(job.id), args.dead.age_ms)
  end
  redis.call('ZADD', dead, now, job.id)
  redis.call('HSET', sizes, job.id, bytes)
  trim_letters(dead, sizes)
end

local results, entries, freed = {}, {}, 0
for i, job in ipairs(args.jobs) do
  local record = job_key(job.id)
  local is = redis.pcall('HMGET', record, 'holder', 'code', 'owner', 'released', 'progress', 'history', 'queued')
  if is.err or not (is[1] or is[2]) then
    results[i] = 'gone'
  elseif is[2] then
    results[i] = read_holder(is[1]).fence == job.fence and 'already_done' or 'lost'
  elseif not is_held(is[1], job.fence, args.worker) then
    results[i] = 'lost'
  elseif job.token and redis.call('PEXPIRE', outcome_key(job.id, job.token), job.ttl_ms) == 0 then
    results[i] = 'expired'
  else
    if job.reason then keep_letter(job, redis.call('HGET', record, 'request') or '', is[3], is[6])
    elseif job.staged then redis.call('UNLINK', body_key(job.id)) end
    redis.call('HSET', record, 'request', '', 'holder', job.fence, 'code', job.code,
      job.token and 'apart' or 'outcome', job.token or job.outcome, 'completed', now, 'expires', now + job.ttl_ms)
    if is[4] or is[5] or is[6] or is[7] then
      redis.call('HDEL', record, 'released', 'progress', 'history', 'queued')
    end
    redis.call('PEXPIRE', record, job.ttl_ms)
    entries[#entries + 1] = job.entry
    freed = freed + job.bytes
    results[i] = 'done'
  end
end
remove_entries(entries)
-- Below zero it is only where Redis has lost a part of its data.
if freed > 0 and redis.call('DECRBY', key('bytes'), freed) < 0 then redis.call('DEL', key('bytes')) end
return reply(results)
