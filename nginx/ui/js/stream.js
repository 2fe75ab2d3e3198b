// The event stream of all jobs: one EventSource, kept alive. It tells of changes only, so that thousands of jobs
// aren't sent first: what there was before is read from the lists, once the stream has begun.

const SETTLE_MS = 600; /* a stream that lives for so long is one: an answer may also be only "come back later" */
const RETRY_MS = [2000, 5000, 10000, 30000];
const HIDDEN_MS = 60000;

export class Stream {
	/** `onJob(document)` for each change, `onState('live' | 'connecting' | 'lost')`, `onFresh()` each time it begins
	 * to live: what was shown before may be out of date. */
	constructor(path, { onJob, onState, onFresh }) {
		Object.assign(this, { path, onJob, onState, onFresh });
		this.state = '';
		this.failures = 0;
		document.addEventListener('visibilitychange', () => this.visibility());
		window.addEventListener('online', () => this.reopen());
		this.open();
	}

	say(state) {
		if (this.state === state)
			return;
		this.state = state;
		this.onState(state);
	}

	open() {
		clearTimeout(this.timer);
		this.source?.close();
		this.say('connecting');
		const source = this.source = new EventSource(new URL(this.path, location.origin));
		source.addEventListener('open', () => {
			clearTimeout(this.timer);
			this.timer = setTimeout(() => this.settled(), SETTLE_MS);
		});
		source.addEventListener('status', event => this.event(event));
		source.addEventListener('error', () => this.broken(source));
	}

	event(event) {
		let job;
		try {
			job = JSON.parse(event.data);
		} catch {
			return; /* not one of ours */
		}
		if (typeof job?.jobId === 'string')
			this.onJob(job);
	}

	settled() {
		this.failures = 0;
		this.say('live');
		this.onFresh();
	}

	/** A browser comes back by itself, except after an answer that isn't a stream. */
	broken(source) {
		if (source !== this.source)
			return;
		clearTimeout(this.timer);
		if (source.readyState !== EventSource.CLOSED) {
			this.say('connecting');
			return;
		}
		this.say('lost');
		const wait = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)];
		this.timer = setTimeout(() => this.open(), wait);
	}

	reopen() {
		if (this.state !== 'live' && !document.hidden)
			this.open();
	}

	/** A page that nobody looks at gives its connection back: browsers have six for a server. */
	visibility() {
		clearTimeout(this.hiding);
		if (document.hidden) {
			this.hiding = setTimeout(() => {
				clearTimeout(this.timer);
				this.source.close();
				this.say('connecting');
			}, HIDDEN_MS);
		} else if (this.source.readyState === EventSource.CLOSED) {
			this.open();
		}
	}
}
