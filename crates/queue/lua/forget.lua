#!lua flags=allow-oom
-- forget: removes a consumer that holds nothing; one that holds something stays, or its jobs would be lost.
-- KEYS  1 queue
-- ARGV  1 group   2 consumer
-- ->    1 removed   0 it holds entries
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
