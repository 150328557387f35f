-- webhook_leave: an attempt that comes to nothing frees its slot. It is neither recorded nor counted.
-- KEYS  1 queue of shard 0
-- args  endpoint, attempt: as in webhook_begin
-- ->    whether it had one
return reply(redis.call('ZREM', running_key(args.endpoint), args.attempt) == 1)
