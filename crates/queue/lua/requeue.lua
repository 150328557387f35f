-- requeue: queues a dead letter's job again under its old id, with all its attempts before it.
-- KEYS  1 queue
-- args  id
-- ->    'queued', 'unknown' (no such letter, or its body or media is gone) or 'alive' (the job waits or runs already, or what it
--       has used is about to be counted)
-- A UUID that follows from this one, of the same shard.
local function next_delivery(delivery)
  local hex = redis.sha1hex(delivery)
  return string.format('%s-%s-8%s-8%s-%s%s', string.sub(hex, 1, 8), string.sub(hex, 9, 12), string.sub(hex, 13, 15),
    string.sub(hex, 16, 18), string.sub(hex, 19, 27), string.sub(delivery, -3))
end

local id, letter = args.id, letter_key(args.id)
local is = redis.call('HMGET', letter, 'request', 'owner', 'fence', 'hook', 'echo')
local request = is[1]
if not request then return reply('unknown') end
local record = job_key(id)
local was = redis.call('HMGET', record, 'holder', 'code')
if was[1] and not was[2] or redis.call('HEXISTS', key('owed'), id) == 1 then return reply('alive') end
local header = read_header(request)
local apart = {}
if header.body then apart[#apart + 1] = body_key(id) end
if header.media then apart[#apart + 1] = media_key(id) end
for _, pieces in ipairs(apart) do
  if redis.call('EXISTS', pieces) == 0 then return reply('unknown') end
end
for _, pieces in ipairs(apart) do redis.call('PERSIST', pieces) end
-- The fence goes on from where it was, so that nobody who held the job before can write to it.
local fence = math.max(read_holder(was[1]).fence, tonumber(is[3]) or 0)
redis.call('DEL', record)
redis.call('HSET', record, 'request', request, 'holder', fence, 'released', fence, 'queued', now_ms())
if is[2] then redis.call('HSET', record, 'owner', is[2]) end
if is[5] then redis.call('HSET', record, 'echo', is[5]) end
if type(header.type) == 'string' then redis.call('HSET', record, 'type', header.type) end
local targets = header.targets
if type(targets) == 'table' and type(targets[1]) == 'string' then redis.call('HSET', record, 'model', targets[1]) end
-- Its second end is another event than its first, which the webhook was told of.
local delivery, hook = string.match(is[4] or '', '^(%S+) (.*)$')
if delivery then redis.call('HSET', record, 'hook', next_delivery(delivery) .. ' ' .. hook) end
local entry = place_job(id, is[2], USUAL_SHARE, accepted_at(id))
if entry then redis.call('HSET', record, 'entry', entry) end
-- While its record was gone, it was no longer listed.
redis.call('ZADD', list_key(is[2] or ''), 0, id)
redis.call('SADD', key('owners'), is[2] or '')
if write_lanes() or entry then wake('queue') end
-- What the job counts as while it waits, if it was counted.
local counted = tonumber(header.bytes)
if counted then redis.call('INCRBY', key('bytes'), counted) end
redis.call('HDEL', key('dead_bytes'), id)
redis.call('ZREM', key('dead'), id)
redis.call('DEL', letter)
return reply('queued')
