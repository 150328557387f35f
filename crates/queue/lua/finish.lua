-- finish: the holder of the fence ends its job; anyone else changes nothing.
-- KEYS  1 queue
-- args  worker, now (ms)
--       dead: what is kept of dead letters: letters, age_ms, bytes
--       jobs: id, entry, fence, code, ttl_ms, outcome, or token, size (bytes) and pieces of one that is staged;
--       media_index: where media is in the outcome, absent if nowhere;
--       reason: why it was given up on, absent if it was not; body_apart: bytes of its body where that has a key of its own;
--       media: bytes of its media, absent for none; bytes: what it counted as while it waited, 0 for nothing;
--       cancelled: whether it ends as cancelled; owed: what it has used of its limits, absent for nothing; in the shard where the
--       limits are instead settlement: where it begins in numbers. It is settled with its end
--       numbers, names, shapes: see gov_settle
-- ->    open: who may go on, see governance.lua     results: for each job 'done', 'already_done' (by this fence), 'lost', 'gone' (no such record), 'expired' (not all pieces of
--       its outcome are there any more; nothing is written), or 'cancelled' (it is to end as cancelled, and not like this;
--       nothing is written)
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
local function keep_letter(job, request, echo, is)
  local letter, dead, sizes = letter_key(job.id), key('dead'), key('dead_bytes')
  local bytes = #request + (job.body_apart or 0) + (job.media or 0)
  -- It would push all others out, and then itself.
  if bytes > args.dead.bytes then return remove_pieces(job) end
  redis.call('HSET', letter, 'reason', job.reason, 'request', request, 'history', is.history or '', 'fence', job.fence)
  if is.owner then redis.call('HSET', letter, 'owner', is.owner) end
  if is.hook then redis.call('HSET', letter, 'hook', is.hook) end
  if echo then redis.call('HSET', letter, 'echo', echo) end
  redis.call('PEXPIRE', letter, args.dead.age_ms)
  if job.body_apart then keep_for_letter(body_key(job.id)) end
  if job.media then keep_for_letter(media_key(job.id)) end
  redis.call('ZADD', dead, now, job.id)
  redis.call('HSET', sizes, job.id, bytes)
  trim_letters(dead, sizes)
end

local results, entries, freed, ids, settlements = {}, {}, 0, {}, {}
for i, job in ipairs(args.jobs) do
  local record = job_key(job.id)
  local staged = job.token and staged_key(job.id, job.token)
  local is = read_for_end(record)
  if not (is.holder or is.code) then
    results[i] = 'gone'
  elseif is.code then
    -- One that was cancelled after this holder had given it back has the same fence, and another end.
    local is_ours = read_holder(is.holder).fence == job.fence and (job.cancelled or not is_cancelled(is))
    results[i] = is_ours and 'already_done' or 'lost'
  elseif not is_held(is.holder, job.fence, args.worker) then
    results[i] = 'lost'
  elseif is.cancel and not job.cancelled then
    results[i] = 'cancelled'
  elseif staged and not has_pieces(staged, job.pieces) then
    results[i] = 'expired'
  else
    if job.reason then
      local request, echo = unpack(redis.call('HMGET', record, 'request', 'echo'))
      keep_letter(job, request or '', echo, is)
    else
      remove_pieces(job)
    end
    if staged then keep_pieces(staged, outcome_key(job.id, job.token), job.ttl_ms) end
    if job.cancelled and not is.cancel then
      -- Redis has lost that it was asked for.
      is.cancel = now
      redis.call('HSET', record, 'cancel', now)
    end
    end_job(record, is, job, now)
    entries[#entries + 1] = job.entry
    freed = freed + job.bytes
    if job.settlement then ids[#ids + 1], settlements[#settlements + 1] = job.id, job.settlement end
    results[i] = 'done'
  end
  -- What nobody will read must not fill Redis until it expires.
  if staged and results[i] ~= 'done' then redis.call('UNLINK', staged) end
end
remove_entries(entries)
free_bytes(freed)
write_ends()
publish()
local open = {}
if #ids > 0 then
  local time = now_ms()
  -- What keeps it from being settled must not keep it from its end: the leader sees to its permit.
  local is_settled, _, room = pcall(settle_jobs, ids, settlements, args.numbers, args.names, args.shapes, time)
  if is_settled then open = who_waits(room, time, time) end
end
return reply({results = results, open = open})
