// EventSource of npm on the URL given, for the client given; everything that happens goes to stdout, a JSON
// object a line:
//   {"is":"request","lastEventId":…}  {"is":"answer","status":…}  {"is":"open"}
//   {"is":"event","name":…,"id":…,"data":…}  {"is":"error","status":…,"readyState":…}
// Ends when EventSource has given up for good. Arguments: URL CLIENT [event names …]
import { EventSource } from 'eventsource';

const [url, client, ...names] = process.argv.slice(2);
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');

const source = new EventSource(url, {
	fetch: async (target, init) => {
		say({ is: 'request', lastEventId: init.headers['Last-Event-ID'] ?? null });
		const answer = await fetch(target, { ...init, headers: { ...init.headers, 'X-Test-Client': client } });
		say({ is: 'answer', status: answer.status });
		return answer;
	},
});
source.onopen = () => say({ is: 'open' });
source.onerror = (error) => say({ is: 'error', status: error.code ?? null, readyState: source.readyState });
for (const name of new Set(['message', ...names])) {
	source.addEventListener(name, (event) => say({
		is: 'event', name: event.type, id: event.lastEventId, data: event.data,
	}));
}
