-- webhook_end: an attempt has ended. It frees its slot, is recorded, and counts for its endpoint. Safe to send again.
-- KEYS  1 queue of shard 0
-- args  endpoint, attempt: as in webhook_begin, kind: 'registered', 'file' or 'address'
--       delivery, attempt_no, job, request_id, event, outcome, code, error, request: the row
--       took_ms (absent where nothing was sent: it then counts for nothing), gone: whether the receiver wants nothing more
--       retention_ms, most_rows, failing_ms, least_failures: what disables an endpoint, state_kept_ms
-- ->    recorded: false for one that was recorded before; disabled: why the endpoint is disabled from now on; absent if it is not
local id, now, history = args.endpoint, now_ms(), history_key(args.endpoint)
if redis.call('ZREM', running_key(id), args.attempt) == 0 then
  -- It was recorded by an earlier try; or Redis has lost its last second, and the attempt with it.
  for _, entry in ipairs(redis.call('XREVRANGE', history, '+', '-', 'COUNT', 200)) do
    if read_row(entry).attempt == args.attempt then return reply({recorded = false}) end
  end
end
redis.call('XADD', history, 'MAXLEN', '=', args.most_rows, '*', 'attempt', args.attempt, 'delivery', args.delivery,
  'attempt_no', args.attempt_no, 'job', args.job, 'request_id', args.request_id, 'event', args.event, 'outcome', args.outcome,
  'code', args.code, 'error', args.error, 'request', args.request)
forget_old(id, now, args.retention_ms)
redis.call('PEXPIRE', history, args.retention_ms)
redis.call('ZADD', HISTORIES, now, id)
redis.call('ZREMRANGEBYSCORE', HISTORIES, '-inf', now - args.retention_ms)
redis.call('PEXPIRE', HISTORIES, args.retention_ms)

local is_registered = args.kind == 'registered'
if not args.took_ms or (is_registered and redis.call('HEXISTS', DEFINITIONS, id) == 0) then return reply({recorded = true}) end
local state, disabled = state_key(id), nil
local service_ms = tonumber(redis.call('HGET', state, 'service_ms') or args.took_ms)
redis.call('HSET', state, 'service_ms', math.ceil(0.8 * service_ms + 0.2 * args.took_ms))
if args.outcome == 'delivered' then
  redis.call('HSET', state, 'consecutive_failures', 0, 'last_success_at', now)
  redis.call('HDEL', state, 'failing_since')
else
  local failures = redis.call('HINCRBY', state, 'consecutive_failures', 1)
  redis.call('HSET', state, 'last_failure_at', now)
  redis.call('HSETNX', state, 'failing_since', now)
  local has_failed = now - (tonumber(redis.call('HGET', state, 'failing_since')) or now)
  local reason = args.gone and 'gone' or failures >= args.least_failures and has_failed >= args.failing_ms and 'failing'
  if reason and args.kind ~= 'address' and redis.call('HSETNX', state, 'disabled_reason', reason) == 1 then
    redis.call('HSET', state, 'disabled_at', now)
    disabled = reason
  end
end
-- What is known of an endpoint that is in no list of ours goes with time, unless it is disabled.
if not is_registered then
  if redis.call('HEXISTS', state, 'disabled_reason') == 1 then
    redis.call('PERSIST', state)
  else
    redis.call('PEXPIRE', state, args.state_kept_ms)
  end
end
return reply({recorded = true, disabled = disabled})
