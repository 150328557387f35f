#!lua flags=allow-oom
-- finish: the holder of the fence ends its job; anyone else changes nothing.
-- KEYS  1 queue   2 dead   3.. one job each
--       then for each job: its body if that is apart, its outcome if that is apart
-- ARGV  1 group   2 worker   3 limit of dead letters
--       then for each job: entry, fence, status, status_code, outcome, ttl_ms, reason ('' unless given up on),
--       '1' if its body is apart ('' if not), token of its outcome's key if that is apart ('' if not)
-- ->    for each job: 1 done   2 was already done by this fence   0 lease lost   -1 no such job
--                     -2 its outcome's key has expired
local queue, dead, group, worker, dead_limit = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local jobs = (#ARGV - 3) / 9
local used = 2 + jobs

local function key_if(is_apart)
  if is_apart == '' then return nil end
  used = used + 1
  return KEYS[used]
end

local finished, entries = {}, {}
for i = 1, jobs do
  local job, at = KEYS[i + 2], 9 * i - 6
  local entry, fence, status, code = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local outcome, ttl_ms, reason, token = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7], ARGV[at + 9]
  local body_key, outcome_key = key_if(ARGV[at + 8]), key_if(token)
  local is = redis.pcall('HMGET', job, 'status', 'fence', 'worker', 'owner')
  if not is[1] then
    finished[i] = -1
  elseif is[2] ~= fence then
    finished[i] = 0
  elseif is[1] == 'completed' or is[1] == 'failed' then
    finished[i] = 2
  elseif is[1] ~= 'processing' or is[3] ~= worker then
    finished[i] = 0
  elseif outcome_key and redis.call('PEXPIRE', outcome_key, ttl_ms) == 0 then
    finished[i] = -2
  else
    if reason ~= '' then
      -- The request goes along, so that the job can be queued again after its record has expired.
      local kept = redis.call('HMGET', job, 'request', 'history')
      local body = body_key and redis.call('GET', body_key) or ''
      local id = string.sub(job, -36)
      redis.call('XADD', dead, 'MAXLEN', '~', dead_limit, '*', 'id', id, 'reason', reason,
        'request', (kept[1] or '') .. body, 'owner', is[4] or '', 'history', kept[2] or '', 'fence', fence)
    end
    -- A new record with what is left is cheaper than the removal of nine fields.
    redis.call('DEL', job)
    redis.call('HSET', job, 'status', status, 'fence', fence, 'code', code, outcome_key and 'apart' or 'outcome',
      outcome_key and token or outcome, 'completed', now, 'expires', now + ttl_ms)
    if is[4] then redis.call('HSET', job, 'owner', is[4]) end
    redis.call('PEXPIRE', job, ttl_ms)
    if body_key then redis.call('UNLINK', body_key) end
    entries[#entries + 1] = entry
    finished[i] = 1
  end
end
if #entries > 0 then
  redis.call('XACK', queue, group, unpack(entries))
  redis.call('XDEL', queue, unpack(entries))
end
return finished
