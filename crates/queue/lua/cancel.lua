-- cancel: ends a job that waits or is delayed; one that runs is marked, and its worker is told, which ends it under its fence.
-- Who comes first, this or the job's own end, is decided here and in finish.lua.
-- KEYS  1 queue
-- args  id, error: the outcome of a cancelled job, an object
-- ->    'unknown', 'ended' (before, by itself), 'cancelled' (it has ended so, by this call or before) or
--       'requested' (it runs, and is about to end so)
local CANCELLED = 499
local DEFAULT_TTL_SECONDS = 3600
local id, record, now = args.id, job_key(args.id), now_ms()
local is = read_for_end(record)
if not (is.holder or is.code) then return reply('unknown') end
if is.code then return reply(is.cancel and 'cancelled' or 'ended') end
local holder = read_holder(is.holder)
if holder.runs then
  if not is.cancel then
    redis.call('HSET', record, 'cancel', now)
    if is_heard() then tell(id, holder.fence, true, true, 0, is.owner) end
  end
  redis.call('SPUBLISH', key('cancel:' .. holder.worker), id)
  publish()
  return reply('requested')
end

local request, entry = unpack(redis.call('HMGET', record, 'request', 'entry'))
local header = read_header(request or '')
-- What was tried before it was delayed has its price.
local is_progress, progress = pcall(cjson.decode, is.progress or '')
local attempts = is_progress and type(progress) == 'table' and progress.attempts
if type(attempts) == 'table' and #attempts > 0 then args.error.extra_fields.attempts = attempts end
if header.body then redis.call('UNLINK', body_key(id)) end
if header.media then redis.call('UNLINK', media_key(id)) end
is.cancel = tostring(now)
redis.call('HSET', record, 'cancel', now)
end_job(record, is, {
  id = id, fence = holder.fence, code = CANCELLED, outcome = cjson.encode(args.error),
  ttl_ms = (tonumber(header.ttl) or DEFAULT_TTL_SECONDS) * 1000,
}, now)
if entry and entry ~= '' then remove_entries({entry}) end
redis.call('ZREM', key('delayed'), id)
free_bytes(tonumber(header.bytes) or 0)
publish()
return reply('cancelled')
