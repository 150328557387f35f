-- history_oldest: how long the job has waited that has waited longest: since it was accepted, or queued again.
-- KEYS  1 queue
-- args  none
-- ->    ms; nil where none waits
-- The priority of a lane's job is its score's part above this: see place_in_lane.
local PRIORITY = 1e13
local first = {}
local function add(id) first[#first + 1] = {id = id, at = accepted_at(id)} end

for _, id in ipairs(new_jobs(1)) do add(id) end
for _, lane in ipairs(some_lanes()) do
  -- Of each priority that is there, the first.
  local from = '-inf'
  while from do
    local row = redis.pcall('ZRANGEBYSCORE', key('lane:' .. lane), from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if row.err or not row[1] then break end
    add(row[1])
    from = string.format('%.0f', (math.floor(tonumber(row[2]) / PRIORITY) + 1) * PRIORITY)
  end
end
table.sort(first, function(a, b) return a.at < b.at end)
local since
for _, job in ipairs(first) do
  -- Nobody waits longer than since its job was accepted.
  if since and job.at >= since then break end
  local queued = whole(redis.pcall('HGET', job_key(job.id), 'queued'))
  local at = math.max(queued or 0, job.at)
  since = math.min(since or at, at)
end
return reply(since and math.max(now_ms() - since, 0) or nil)
