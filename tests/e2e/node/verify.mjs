// The library `standardwebhooks` looks at deliveries: a JSON object a line on stdin,
//   {"secret":"whsec_…","headers":{…},"body":"base64"}
// and for each a line on stdout: {"payload":…} if it verifies, {"error":"why not"} if not.
import { createInterface } from 'node:readline';
import { Webhook } from 'standardwebhooks';

for await (const line of createInterface({ input: process.stdin })) {
	const { secret, headers, body } = JSON.parse(line);
	let verdict;
	try {
		verdict = { payload: new Webhook(secret).verify(Buffer.from(body, 'base64'), headers) };
	} catch (error) {
		verdict = { error: error.message };
	}
	process.stdout.write(JSON.stringify(verdict) + '\n');
}
