-- What the scripts of definitions share; it stands before each of them.
local DEFINITIONS, DEFINITIONS_VERSION = key('definitions'), key('definitions_version')
