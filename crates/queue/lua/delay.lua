-- delay: the holder of the fence gives its job back until a retry time, so that its slot is free meanwhile; anyone else
-- changes nothing. The next start goes on from the progress.
-- KEYS  1 queue
-- args  worker, id, entry, fence, delay_ms, progress     counts: whether this start counts as an attempt
--       owed: what it has used of its limits so far, absent for one that holds none
-- ->    'delayed', be it by an earlier try; 'cancelled' (it is to be ended as such); or 'lost': the job is another's by now
local record, delayed = job_key(args.id), key('delayed')
local values = redis.call('HMGET', record, 'holder', 'cancel', 'owner')
local holder = values[1]
if not is_held(holder, args.fence, args.worker) then
  local is = read_holder(holder)
  local is_delayed = not is.runs and is.fence == args.fence and redis.call('ZSCORE', delayed, args.id)
  return reply(is_delayed and 'delayed' or 'lost')
end
if values[2] then return reply('cancelled') end
redis.call('ZADD', delayed, now_ms() + args.delay_ms, args.id)
redis.call('HSET', record, 'holder', args.fence, 'progress', args.progress, 'entry', '')
if args.owed then redis.call('HSET', record, 'owed', args.owed) end
if not args.counts then redis.call('HINCRBY', record, 'released', 1) end
remove_entries({args.entry})
if is_heard() then tell(args.id, args.fence, false, nil, 0, values[3]) end
publish()
return reply('delayed')
