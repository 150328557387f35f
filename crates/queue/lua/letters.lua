-- letters: dead letters, without their bodies; the newest first.
-- KEYS  1 queue
-- args  count: at most so many     id: only this job's; absent for all
-- ->    for each: id, at (ms), reason, history; of one alone also request (its header line, where the body is under a key
--       of its own)
local dead, found = key('dead'), {}
local function add(id, at)
  local is = redis.call('HMGET', letter_key(id), 'reason', 'history')
  if not is[1] then return end
  local request = args.id and redis.call('HGET', letter_key(id), 'request') or nil
  found[#found + 1] = {id = id, at = tonumber(at), reason = is[1], history = is[2] or '', request = request}
end
if args.id then
  local at = redis.call('ZSCORE', dead, args.id)
  if at then add(args.id, at) end
else
  local rows = redis.call('ZREVRANGE', dead, 0, args.count - 1, 'WITHSCORES')
  for i = 1, #rows, 2 do add(rows[i], rows[i + 1]) end
end
return reply(found)
