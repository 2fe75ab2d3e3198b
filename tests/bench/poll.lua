-- GETs the paths listed in the file POLL_PATHS, one after the other.
dofile(os.getenv("BENCH_LUA") .. "/report.lua")
local paths, at = {}, 0
for line in io.lines(os.getenv("POLL_PATHS")) do paths[#paths + 1] = line end
function request()
	at = at % #paths + 1
	return wrk.format("GET", paths[at])
end
