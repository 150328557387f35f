-- letters: dead letters, without their bodies; the newest first.
-- KEYS  1 queue
-- args  count: at most so many     id: only this job's; absent for all     reason: only those given up on for it; absent for all
-- ->    for each: id, at (ms), reason, history, header (its request's first line), owner (absent for none); of one alone also request
--       (its header line, where the body is under a key of its own)
local dead, found, CHUNK = key('dead'), {}, 200
local function add(id, at)
  local is = redis.pcall('HMGET', letter_key(id), 'reason', 'history', 'owner')
  if not is[1] or (args.reason and is[1] ~= args.reason) then return end
  local request = redis.call('HGET', letter_key(id), 'request') or ''
  found[#found + 1] = {id = id, at = tonumber(at), reason = is[1], history = is[2] or '', owner = is[3] or nil,
    header = string.match(request, '^[^\n]*'), request = args.id and request or nil}
end
if args.id then
  local at = redis.call('ZSCORE', dead, args.id)
  if at then add(args.id, at) end
  return reply(found)
end
local from = 0
while #found < args.count do
  local rows = redis.call('ZREVRANGE', dead, from, from + CHUNK - 1, 'WITHSCORES')
  for i = 1, #rows, 2 do
    if #found < args.count then add(rows[i], rows[i + 1]) end
  end
  if #rows < 2 * CHUNK then break end
  from = from + CHUNK
end
return reply(found)
