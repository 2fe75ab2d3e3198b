-- One line of JSON at the end of a wrk run.
function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format('JSON {"rate":%.1f,"p50":%.3f,"p99":%.3f,"errors":%d}\n',
		summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1000, latency:percentile(99) / 1000,
		e.status + e.connect + e.read + e.write + e.timeout))
end
