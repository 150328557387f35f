-- put_piece: writes a piece of a large outcome into a Redis that is full, where only scripts may write.
-- KEYS  1 queue
-- args  key: of the pieces     number: of this one     seconds: until they expire
-- ARGV  2 the piece itself: MessagePack has no place for bytes that are no text
-- ->    nothing
redis.call('HSET', args.key, args.number, ARGV[2])
redis.call('EXPIRE', args.key, args.seconds)
return reply(true)
