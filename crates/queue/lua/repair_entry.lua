-- repair_entry: removes an entry whose job is gone or has ended; and makes one claimable that was given out, and that no
-- worker holds.
-- KEYS  1 queue
-- args  id, entry, consumer: to hold it until a worker claims it
-- ->    'removed', 'released' or 'sound'
-- Its job has ended meanwhile.
if #redis.call('XRANGE', QUEUE, args.entry, args.entry) == 0 then return reply('sound') end
local is = redis.pcall('HMGET', job_key(args.id), 'request', 'code')
if not is[1] or is[2] then
  remove_entries({args.entry})
  return reply('removed')
end
if #redis.call('XPENDING', QUEUE, GROUP, args.entry, args.entry, 1) > 0 then return reply('sound') end
free_entry(args.entry, args.consumer)
wake('expired')
return reply('released')
