-- revive: queues a dead letter's job again under its old id, with all its attempts before it.
-- KEYS  1 queue   2 dead   3 job
-- ARGV  1 letter   2 id
-- ->    1 queued again   0 no such letter   -1 the job waits or runs already
local letter = redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[1])[1]
if not letter then return 0 end
local status = redis.call('HGET', KEYS[3], 'status')
if status == 'pending' or status == 'processing' then return -1 end
local field = {}
for i = 1, #letter[2], 2 do field[letter[2][i]] = letter[2][i + 1] end
-- The fence goes on from where it was, so that nobody who held the job before can write to it.
local fence = redis.call('HGET', KEYS[3], 'fence') or field.fence
redis.call('DEL', KEYS[3])
local entry = redis.call('XADD', KEYS[1], '*', 'id', ARGV[2])
redis.call('HSET', KEYS[3], 'status', 'pending', 'entry', entry, 'request', field.request,
  'fence', fence, 'handbacks', fence)
if field.owner ~= '' then redis.call('HSET', KEYS[3], 'owner', field.owner) end
redis.call('XDEL', KEYS[2], ARGV[1])
return 1
