#!lua flags=allow-oom
-- finish: the holder of the fence ends its job; anyone else changes nothing.
-- KEYS  1 queue   2 dead   3.. one job each
-- ARGV  1 group   2 worker   3 limit of dead letters
--       then for each job: entry, fence, status, status_code, outcome, ttl_ms, reason ('' unless given up on)
-- ->    for each job: 1 done   2 was already done by this fence   0 lease lost   -1 no such job
local queue, dead, group, worker, dead_limit = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local finished, entries = {}, {}
for i = 1, #KEYS - 2 do
  local job, at = KEYS[i + 2], 7 * i - 4
  local entry, fence, status, code = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local outcome, ttl_ms, reason = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
  local is = redis.pcall('HMGET', job, 'status', 'fence', 'worker', 'owner')
  if not is[1] then
    finished[i] = -1
  elseif is[2] ~= fence then
    finished[i] = 0
  elseif is[1] == 'completed' or is[1] == 'failed' then
    finished[i] = 2
  elseif is[1] ~= 'processing' or is[3] ~= worker then
    finished[i] = 0
  else
    if reason ~= '' then
      -- The request goes along, so that the job can be queued again after its record has expired.
      local kept = redis.call('HMGET', job, 'request', 'owner', 'history')
      local id = string.sub(job, -36)
      redis.call('XADD', dead, 'MAXLEN', '~', dead_limit, '*', 'id', id, 'reason', reason,
        'request', kept[1] or '', 'owner', kept[2] or '', 'history', kept[3] or '', 'fence', fence)
    end
    -- A new record with what is left is cheaper than the removal of nine fields.
    redis.call('DEL', job)
    redis.call('HSET', job, 'status', status, 'fence', fence, 'code', code, 'outcome', outcome,
      'completed', now, 'expires', now + ttl_ms)
    if is[4] then redis.call('HSET', job, 'owner', is[4]) end
    redis.call('PEXPIRE', job, ttl_ms)
    entries[#entries + 1] = entry
    finished[i] = 1
  end
end
if #entries > 0 then
  redis.call('XACK', queue, group, unpack(entries))
  redis.call('XDEL', queue, unpack(entries))
end
return finished
