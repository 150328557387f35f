-- webhook_begin: an attempt takes a slot of its endpoint, if one is free and the endpoint may be used. Safe to send again.
-- KEYS  1 queue of shard 0
-- args  endpoint, attempt: "<delivery id> <fence>", lease_ms, limit (absent for a registered endpoint, whose definition says it),
--       kept_ms: how long it is known after its lease, longest_ms: of a wait, again: whether this is asked after an earlier wait
-- ->    result: 'go', 'busy' (retry_ms: when to try again), 'disabled' or 'gone'; definition, state (for 'go' and 'disabled')
local id, now = args.endpoint, now_ms()
local running, limit, definition, is = running_key(id), args.limit, nil, {}
if not limit then
  definition = redis.call('HGET', DEFINITIONS, id) or nil
  is = definition and decode(definition) or is
  limit = tonumber(is.max_concurrent_deliveries) or 0
  if limit < 1 then limit = args.default_limit end
end
local state = read_state(id)
local function note(lease_end)
  redis.call('ZADD', running, lease_end, args.attempt)
  redis.call('PEXPIRE', running, args.lease_ms + args.kept_ms)
end

-- Whatever comes of them is recorded once, as of those that take a slot.
if not args.limit and not definition then note(now); return reply({result = 'gone'}) end
if is.disabled == true or state.disabled_reason then
  note(now)
  return reply({result = 'disabled', definition = definition, state = state})
end

-- One whose lease has ended takes no slot, but may still be recorded.
redis.call('ZREMRANGEBYSCORE', running, '-inf', string.format('(%d', now - args.kept_ms))
local lease_end = tonumber(redis.call('ZSCORE', running, args.attempt) or 0)
if lease_end <= now and redis.call('ZCOUNT', running, string.format('(%d', now), '+inf') >= limit then
  -- Those that find no slot are told times one after another, as far apart as slots become free.
  local was = redis.call('HMGET', state_key(id), 'service_ms', 'next_free')
  local interval = math.max(tonumber(was[1]) or 1000, 10) / limit
  -- One that is first in its worker's line has been told its time before, and takes none of the others'.
  if args.again then return reply({result = 'busy', retry_ms = math.ceil(interval)}) end
  local next_free = math.max(tonumber(was[2]) or 0, now) + interval
  if next_free - now > args.longest_ms then return reply({result = 'busy', retry_ms = args.longest_ms}) end
  redis.call('HSET', state_key(id), 'next_free', next_free)
  if args.limit then redis.call('PEXPIRE', state_key(id), args.state_kept_ms) end
  return reply({result = 'busy', retry_ms = math.ceil(next_free - now)})
end
note(now + args.lease_ms)
return reply({result = 'go', definition = definition, state = state})
