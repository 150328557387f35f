-- repair_record: gives an entry, or a place in a lane, to a job that waits or runs but has none, which no worker would ever find;
-- and opens its lane where that is neither open nor closed.
-- KEYS  1 queue
-- args  id
-- ->    whether it was queued again
local RECENT_MS = 60 * 1000
local id, record = args.id, job_key(args.id)
local is = redis.call('HMGET', record, 'request', 'code', 'queued', 'holder', 'owner', 'share', 'lane')
local now = now_ms()
-- It has ended meanwhile, or is delayed and promoted at its time.
if not is[1] or is[2] or redis.call('ZSCORE', key('delayed'), id) then return reply(false) end
local share, lane = read_share(is[6]), lane_of(is[5], is[7])
if redis.pcall('ZSCORE', lane_key(lane), id) then
  if redis.call('ZSCORE', LANES, lane) or redis.call('ZSCORE', CLOSED, lane) then return reply(false) end
  redis.call('HDEL', REASONS, lane)
  open_lane(lane, share.weight)
  wake('queue')
  return reply(true)
end
-- It was released, promoted or queued by another check just now.
if is[3] and now - is[3] < RECENT_MS then return reply(false) end
-- One that runs is left to its holder; whoever claims this entry waits for the end of the lease.
local entry = read_holder(is[4]).runs and enqueue(id) or place_job(id, is[5], share, accepted_at(id))
redis.call('HSET', record, 'queued', now, 'entry', entry or '')
redis.call('HDEL', record, 'lane', 'waits_for')
if write_lanes() or entry then wake('queue') end
return reply(true)
