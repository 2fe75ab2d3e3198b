-- POSTs a 200-byte body; asks for no wait, since no worker runs.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Prefer"] = "respond-async"
wrk.body = '{"payload":"' .. string.rep("x", 186) .. '"}'
dofile(os.getenv("BENCH_LUA") .. "/report.lua")
