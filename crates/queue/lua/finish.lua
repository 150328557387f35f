-- finish: the holder of the fence ends its job; anyone else changes nothing.
-- KEYS  1 queue
-- args  worker, now (ms)
--       dead: what is kept of dead letters: letters, age_ms, bytes
--       jobs: id, entry, fence, code, ttl_ms, outcome, or token, size (bytes) and pieces of one that is staged;
--       media_index: where media is in the outcome, absent if nowhere;
--       reason: why it was given up on, absent if it was not; body_apart: bytes of its body where that has a key of its own;
--       media: bytes of its media, absent for none; bytes: what it counted as while it waited, 0 for nothing
-- ->    for each job 'done', 'already_done' (by this fence), 'lost', 'gone' (no such record), or 'expired' (not all pieces of
--       its outcome are there any more; nothing is written)
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
    redis.call('UNLINK', letter_key(id), body_key(id), media_key(id))
    redis.call('ZREM', dead, id)
  end
end

local function remove_pieces(job)
  if job.body_apart then redis.call('UNLINK', body_key(job.id)) end
  if job.media then redis.call('UNLINK', media_key(job.id)) end
end

-- Keeps pieces, or the string that an earlier version wrote, as long as the letter. What is neither is of no use.
local function keep_for_letter(pieces)
  local kind = redis.call('TYPE', pieces).ok
  if kind == 'hash' or kind == 'string' then
    redis.call('PEXPIRE', pieces, args.dead.age_ms)
  else
    redis.call('UNLINK', pieces)
  end
end

-- Keeps what it takes to queue the job again, after its record has expired, too. A body under a key of its own stays there, as
-- does media.
local function keep_letter(job, request, owner, history)
  local letter, dead, sizes = letter_key(job.id), key('dead'), key('dead_bytes')
  local bytes = #request + (job.body_apart or 0) + (job.media or 0)
  -- It would push all others out, and then itself.
  if bytes > args.dead.bytes then return remove_pieces(job) end
  redis.call('HSET', letter, 'reason', job.reason, 'request', request, 'history', history or '', 'fence', job.fence)
  if owner then redis.call('HSET', letter, 'owner', owner) end
  redis.call('PEXPIRE', letter, args.dead.age_ms)
  if job.body_apart then keep_for_letter(body_key(job.id)) end
  if job.media then keep_for_letter(media_key(job.id)) end
  redis.call('ZADD', dead, now, job.id)
  redis.call('HSET', sizes, job.id, bytes)
  trim_letters(dead, sizes)
end

local results, entries, freed = {}, {}, 0
for i, job in ipairs(args.jobs) do
  local record = job_key(job.id)
  local staged = job.token and staged_key(job.id, job.token)
  local is = redis.pcall('HMGET', record, 'holder', 'code', 'owner', 'released', 'progress', 'history', 'queued')
  if is.err or not (is[1] or is[2]) then
    results[i] = 'gone'
  elseif is[2] then
    results[i] = read_holder(is[1]).fence == job.fence and 'already_done' or 'lost'
  elseif not is_held(is[1], job.fence, args.worker) then
    results[i] = 'lost'
  elseif staged and not has_pieces(staged, job.pieces) then
    results[i] = 'expired'
  else
    if job.reason then
      keep_letter(job, redis.call('HGET', record, 'request') or '', is[3], is[6])
    else
      remove_pieces(job)
    end
    if staged then keep_pieces(staged, outcome_key(job.id, job.token), job.ttl_ms) end
    redis.call('HSET', record, 'request', '', 'holder', job.fence, 'code', job.code,
      staged and 'apart' or 'outcome', staged and string.format('%s %d', job.token, job.size) or job.outcome,
      'completed', now, 'expires', now + job.ttl_ms)
    if job.media_index then redis.call('HSET', record, 'media', job.media_index) end
    if is[4] or is[5] or is[6] or is[7] then
      redis.call('HDEL', record, 'released', 'progress', 'history', 'queued')
    end
    redis.call('PEXPIRE', record, job.ttl_ms)
    entries[#entries + 1] = job.entry
    freed = freed + job.bytes
    results[i] = 'done'
  end
  -- What nobody will read must not fill Redis until it expires.
  if staged and results[i] ~= 'done' then redis.call('UNLINK', staged) end
end
remove_entries(entries)
-- Below zero it is only where Redis has lost a part of its data.
if freed > 0 and redis.call('DECRBY', key('bytes'), freed) < 0 then redis.call('DEL', key('bytes')) end
return reply(results)
