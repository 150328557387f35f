-- What the scripts of webhooks share; it stands before each of them. All of their keys are those of one shard, number 0.
local DEFINITIONS, NAMES, HISTORIES = key('webhooks'), key('webhook_names'), key('webhook_histories')
local function state_key(id) return key('webhook:' .. id) end
local function history_key(id) return key('webhook_attempts:' .. id) end
local function running_key(id) return key('webhook_running:' .. id) end

local function read_state(id)
  local is = redis.call('HMGET', state_key(id), 'consecutive_failures', 'last_success_at', 'last_failure_at', 'disabled_reason')
  return {
    consecutive_failures = tonumber(is[1]) or 0, last_success_at = tonumber(is[2]), last_failure_at = tonumber(is[3]),
    disabled_reason = is[4] or nil,
  }
end

-- A definition as a table, to look into; an empty one where it cannot be read.
local function decode(definition)
  local is_read, table = pcall(cjson.decode, definition)
  return is_read and type(table) == 'table' and table or {}
end

-- A row of the history as Redis gives it: {entry, {name, value, …}}. What a redelivery needs is left out unless asked for.
local function read_row(entry, with_request)
  local row = {entry = entry[1]}
  for i = 1, #entry[2], 2 do row[entry[2][i]] = entry[2][i + 1] end
  if not with_request then row.request = nil end
  return row
end

-- Removes the rows of an endpoint that are older than they are to be kept.
local function forget_old(id, now, retention_ms)
  redis.call('XTRIM', history_key(id), 'MINID', '=', string.format('%d', math.max(now - retention_ms, 0)))
end
