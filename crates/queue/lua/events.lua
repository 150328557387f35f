-- What transitions tell to those who wait; it stands before each script that is one.
-- Lines are collected, and published once at the end of a script; not at all where nobody listens. Nobody waits for deliveries.
local EVENTS = key('events')
local heard
local lines = {}
local function is_heard()
  if heard == nil then
    -- What Redis does not let us tell must not fail the transition.
    local listeners = IS_JOBS and redis.pcall('PUBSUB', 'SHARDNUMSUB', EVENTS)
    heard = listeners and not listeners.err and listeners[2] > 0
  end
  return heard
end

-- Notes a transition: "<id> <seq> <state> <code> <owner>". seq grows with each transition, and follows from the record, so that
-- whoever reads it knows the same number. runs, cancel: whether it runs, and whether it is to be cancelled; code: 0 unless ended.
local function tell(id, fence, runs, cancel, code, owner)
  local seq = 2 * fence - (runs and 1 or 0) + (cancel and 1 or 0) + (code > 0 and 1 or 0)
  local state = code > 0 and 'ended' or cancel and 'cancelling' or runs and 'running' or 'waiting'
  lines[#lines + 1] = string.format('%s %d %s %d %s', id, seq, state, code, owner or '')
end

local function publish()
  if #lines > 0 then redis.pcall('SPUBLISH', EVENTS, table.concat(lines, '\n')) end
end
