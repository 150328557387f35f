-- What all scripts share; it stands before each of them.
-- KEYS[1] is the queue of the shard. The shard's other keys are named after it: they share its hash tag, so one node of a
-- Cluster has them all.
-- ARGV[1] is a MessagePack map: the script's arguments by name. The reply is MessagePack, too.
local GROUP = 'workers'
local QUEUE = KEYS[1]
local PREFIX = string.sub(QUEUE, 1, -1 - #'queue')
local args = cmsgpack.unpack(ARGV[1])
local reply = cmsgpack.pack
-- Whether these are jobs of clients, and not deliveries.
local IS_JOBS = string.sub(PREFIX, -#':hooks:') ~= ':hooks:'

local function key(name) return PREFIX .. name end
local function job_key(id) return PREFIX .. 'job:' .. id end
local function body_key(id) return PREFIX .. 'body:' .. id end
local function media_key(id) return PREFIX .. 'media:' .. id end
local function outcome_key(id, token) return PREFIX .. 'outcome:' .. id .. ':' .. token end
local function letter_key(id) return PREFIX .. 'letter:' .. id end
-- The jobs of a virtual key; of none: ''.
local function list_key(owner) return PREFIX .. 'list:' .. owner end

-- Where the pieces of a 'body', of 'media', or of the outcome with this token stand until a script keeps them.
local function staged_key(id, what) return PREFIX .. 'staged:' .. id .. ':' .. what end

-- Whether all pieces are there. Some may have expired, or may be lost with Redis's last second.
local function has_pieces(staged, count) return redis.pcall('HLEN', staged) == count end

-- Keeps pieces under the key where they are looked for, for this long; for ever without ttl_ms.
local function keep_pieces(staged, kept, ttl_ms)
  redis.call('RENAME', staged, kept)
  if ttl_ms then redis.call('PEXPIRE', kept, ttl_ms) else redis.call('PERSIST', kept) end
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A number of somebody else's writing, as one that every command takes; nil for what is none.
local function whole(value)
  local number = tonumber(value)
  -- 'nan' is a number here, and equal to none.
  if not number or number ~= number then return nil end
  return math.min(math.max(math.floor(number), 0), 1e15)
end

-- When the job with this id was accepted (ms): its id is a UUIDv7.
local function accepted_at(id) return tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16) or 0 end

-- A record's `holder`: the fence, 0 before the first start; while the job runs, also who runs it:
-- "<fence> <worker> <token of its claim> <started, ms> <end of its lease, ms>".
local NEVER_STARTED = {fence = 0, runs = false}
local function read_holder(text)
  if text == '0' then return NEVER_STARTED end
  local fence, worker, token, started, lease_end =
    string.match(text or '', '^(%d+) ?(%S*) ?(%S*) ?(%S*) ?(%S*)$')
  return {
    -- What no counter reaches is somebody else's writing.
    fence = math.min(tonumber(fence) or 0, 1e15), worker = worker, token = token, started = started, lease_end = tonumber(lease_end),
    runs = (worker or '') ~= '',
  }
end

local function write_holder(fence, worker, token, started, lease_end)
  return fence .. ' ' .. worker .. ' ' .. token .. ' ' .. started .. ' ' .. lease_end
end

-- Whether `holder` says that `worker` runs the job under `fence`: what every write of a worker must show.
local function is_held(holder, fence, worker)
  local start = fence .. ' ' .. worker .. ' '
  return holder and string.sub(holder, 1, #start) == start
end

-- Wakes one idle worker. `why` is 'queue' (there are new entries) or 'expired' (there are entries that nobody holds any
-- more); the set keeps each once, however often it is asked for.
local function wake(why) redis.call('ZADD', key('wake'), why == 'expired' and 0 or 1, why) end

local function enqueue(id) return redis.call('XADD', QUEUE, '*', 'id', id) end

-- Removes entries from the group and from the stream.
local function remove_entries(entries)
  if #entries == 0 then return end
  redis.call('XACK', QUEUE, GROUP, unpack(entries))
  redis.call('XDEL', QUEUE, unpack(entries))
end

-- Takes so much off what waiting and running jobs count as. Below zero it is only where Redis has lost a part of its data.
local function free_bytes(bytes)
  if bytes > 0 and redis.call('DECRBY', key('bytes'), bytes) < 0 then redis.call('DEL', key('bytes')) end
end

-- What XINFO GROUPS says of the group, by name; nil while there is none.
local function group_info()
  local groups = redis.pcall('XINFO', 'GROUPS', QUEUE)
  if groups.err then return nil end
  for _, group in ipairs(groups) do
    local info = {}
    for i = 1, #group, 2 do info[group[i]] = group[i + 1] end
    if info.name == GROUP then return info end
  end
end

-- What the first line of a record's `request` says, as far as it is readable.
local function read_header(request)
  local is_header, header = pcall(cjson.decode, string.match(request, '^[^\n]*'))
  return is_header and type(header) == 'table' and header or {}
end

-- Runs a command that needs the group. One that is missing, or was lost, is made again from the first entry on.
local function with_group(...)
  local outcome = redis.pcall(...)
  if type(outcome) == 'table' and outcome.err and string.find(outcome.err, 'NOGROUP', 1, true) then
    redis.call('XGROUP', 'CREATE', QUEUE, GROUP, '0', 'MKSTREAM')
    return redis.call(...)
  end
  if type(outcome) == 'table' and outcome.err then error(outcome.err) end
  return outcome
end

-- Makes an entry one that nobody holds: it is claimed apart from those that wait, before them. An idle time longer than any lease says
-- so; a consumer must have it.
local FREE_MS = 7 * 24 * 3600 * 1000
local function free_entry(entry, consumer)
  with_group('XCLAIM', QUEUE, GROUP, consumer, 0, entry, 'IDLE', FREE_MS, 'FORCE', 'JUSTID')
end

-- Entries that workers hold. They are in the stream, too, but do not wait.
local function count_running()
  local info = group_info()
  return info and info.pending or 0
end
