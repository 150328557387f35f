-- history_calls: adds what a worker's calls to providers have come to.
-- KEYS  1 queue of the shard that has the figures
-- args  calls: for each provider and model: name ("<provider>\n<model>"), errors, took: how many took how long: pairs of a
--       bucket's number and how many
-- ->    nothing
-- Fields are "<e or a bucket's number>\n<name>". A hash has so many at most: what comes beyond is of the model 'other', and
-- of that, all of the provider 'other'.
local MOST_FIELDS, MOST_OTHER = 1000, 2000
local PERIOD_MS, KEPT_MS = 300000, 25 * 3600 * 1000
local calls = key('calls:' .. string.format('%d', math.floor(now_ms() / PERIOD_MS)))
local fields = redis.pcall('HLEN', calls)
if type(fields) ~= 'number' then return reply(false) end
local function add(what, name, number)
  local field = what .. '\n' .. name
  if fields >= MOST_FIELDS and redis.call('HEXISTS', calls, field) == 0 then
    field = what .. '\n' .. (fields < MOST_OTHER and string.match(name, '^[^\n]*') or 'other') .. '\nother'
  end
  if redis.call('HINCRBY', calls, field, number) == number then fields = fields + 1 end
end
for _, call in ipairs(args.calls) do
  if call.errors > 0 then add('e', call.name, call.errors) end
  for _, took in ipairs(call.took) do add(took[1], call.name, took[2]) end
end
redis.call('PEXPIRE', calls, KEPT_MS)
return reply(true)
