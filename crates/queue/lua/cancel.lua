-- cancel: ends a job that waits or is delayed; one that runs is marked, and its worker is told, which ends it under its fence.
-- Who comes first, this or the job's own end, is decided here and in finish.lua.
-- KEYS  1 queue
-- args  id, error: the outcome of a cancelled job, as JSON whose last member is an object that has members
-- ->    became: 'unknown', 'ended' (before, by itself), 'cancelled' (it has ended so, by this call), 'already_cancelled' (by an
--       earlier one), or 'requested' (it runs, and is about to end so) 
--       since_ms: when that was first asked for, of 'requested'
local DEFAULT_TTL_SECONDS, LONGEST_TTL_SECONDS = 3600, 10 * 365 * 24 * 3600
local id, record, now = args.id, job_key(args.id), now_ms()
local is = read_for_end(record)
if not (is.holder or is.code) then return reply({became = 'unknown'}) end
if is.code then return reply({became = is_cancelled(is) and 'already_cancelled' or 'ended'}) end
local holder = read_holder(is.holder)
if holder.runs then
  if not is.cancel then
    redis.call('HSET', record, 'cancel', now)
    if is_heard() then tell(id, holder.fence, true, true, 0, is.owner) end
  end
  -- Asked for again, it is told again: the worker may not have heard it. It learns it in any case with its next renewal.
  redis.pcall('SPUBLISH', key('cancel:' .. holder.worker), id)
  publish()
  return reply({became = 'requested', since_ms = whole(is.cancel) or now})
end

-- What calls have used, in the words of an error's `usage_charged`; none for nothing. Of calls without a price, the cost is null.
local function usage_charged(charge)
  local calls = type(charge) == 'table' and type(charge.calls) == 'table' and charge.calls or {}
  local input, output, cost, is_priced = 0, 0, 0, true
  for _, call in ipairs(calls) do
    input, output = input + (tonumber(call.input_tokens) or 0), output + (tonumber(call.output_tokens) or 0)
    if tonumber(call.cost) then cost = cost + tonumber(call.cost) else is_priced = false end
  end
  if input + output + cost == 0 and is_priced then return nil end
  local dollars = is_priced and string.format('%d.%09d', math.floor(cost / 1e9), cost % 1e9) or 'null'
  return string.format('{"requests":1,"input_tokens":%.0f,"output_tokens":%.0f,"cost":%s}', input, output, dollars)
end

-- What was tried before it was delayed has its price: it stands in the error, as the last members of its last one.
local function with_attempts(outcome)
  local is_progress, progress = pcall(cjson.decode, is.progress or '')
  if not is_progress or type(progress) ~= 'table' then return outcome end
  local members, attempts = '', progress.attempts
  if type(attempts) == 'table' and #attempts > 0 then
    -- Whoever encodes here escapes slashes, and nobody else does.
    local is_text, text = pcall(cjson.encode, attempts)
    if is_text then members = ',"attempts":' .. string.gsub(text, '\\/', '/') end
  end
  local used = usage_charged(progress.charge)
  if used then members = members .. ',"usage_charged":' .. used end
  return members == '' and outcome or string.sub(outcome, 1, -3) .. members .. '}}'
end

local request, entry = unpack(redis.call('HMGET', record, 'request', 'entry'))
local header, outcome = read_header(request or ''), with_attempts(args.error)
local ttl = math.min(math.max(whole(header.ttl) or DEFAULT_TTL_SECONDS, 1), LONGEST_TTL_SECONDS)
if not is.cancel then
  is.cancel = now
  redis.call('HSET', record, 'cancel', now)
end
end_job(record, is, {id = id, fence = holder.fence, code = CANCELLED, outcome = outcome, ttl_ms = ttl * 1000}, now)
-- Of a header that cannot be read it is not known which it has.
redis.call('UNLINK', body_key(id), media_key(id))
if entry and string.match(entry, '^%d+%-%d+$') then
  remove_entries({entry})
elseif redis.call('ZREM', key('delayed'), id) == 0 then
  leave_lane(lane_of(is.owner, is.lane), id)
end
free_bytes(whole(header.bytes) or 0)
write_ends()
publish()
return reply({became = 'cancelled'})
