-- given_out: the last entry that was given to a worker.
-- KEYS  1 queue
-- args  none
-- ->    its id; nil while there is no group
local info = group_info()
return reply(info and info['last-delivered-id'])
