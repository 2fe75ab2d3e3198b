// What belongs to a job and is read apart from it: attempts, result, log, deliveries.

import { json, localPath, request } from './api.js';
import { h, icon, text } from './dom.js';
import { absolute, ago, bytes, duration } from './format.js';
import { badge, updateBadge } from './parts.js';
import { problemBox, toast, toastError } from './ui.js';

const PREVIEW_BYTES = 32768;
const TEXT_TYPE = /^(?:text\/(?!html)[\w.+-]+|application\/(?:[\w.-]+\+)?(?:json|x-ndjson))\b/;

const time = t => t ? h('time', { datetime: t, title: absolute(t) }, ago(t)) : '–';
const between = (from, to) => from && to ? duration(Date.parse(to) - Date.parse(from)) : '';

function card(title, ...children) {
	const id = `part-${title.toLowerCase().replace(/\W+/g, '-')}`;
	return h('section', { class: 'card', 'aria-labelledby': id, hidden: true }, h('div', { class: 'part-head' }, h('h2', { id }, title)), ...children);
}

/** A table that becomes a list on narrow screens: each cell knows the name of its column. */
function table(label, columns, rows) {
	return h('div', { role: 'table', class: 'small-table', 'aria-label': label },
		h('div', { role: 'row', class: 'small-row head' }, columns.map(name => h('span', { role: 'columnheader' }, name))),
		rows.map(cells => h('div', { role: 'row', class: 'small-row' }, cells.map((content, n) => h('span', { role: 'cell', 'data-name': columns[n] }, content)))));
}

function statusBadge(status) {
	const element = badge();
	updateBadge(element, status);
	return element;
}

// ---- attempts --------------------------------------------------------------------------------------

export class Attempts {
	constructor(path) {
		this.path = path;
		this.body = h('div');
		this.element = card('Attempts', this.body);
	}

	/** `about` is told the size and type of the input, which stand in the same answer. */
	async load(about) {
		try {
			const answer = await json(`${this.path}/attempts`);
			about(answer);
			this.show(answer.attempts ?? []);
		} catch (error) {
			this.element.hidden = false;
			this.body.replaceChildren(problemBox(error, () => this.load(about)));
		}
	}

	show(attempts) {
		this.element.hidden = attempts.length === 0;
		this.body.replaceChildren(table('Attempts', ['Attempt', 'Status', 'Started', 'Took', 'Log', 'Error'], attempts.map(one => [
			String(one.attempt), statusBadge(one.status), time(one.startedTime), between(one.startedTime, one.endedTime),
			one.logSize ? h('button', { type: 'button', class: 'small', onclick: () => this.onPick(one.attempt) }, bytes(one.logSize),
				h('span', { class: 'unseen' }, ` of log: show that of attempt ${one.attempt}`)) : '',
			one.error ? String(one.error.title ?? one.error.detail ?? '') : ''])));
	}
}

// ---- result ----------------------------------------------------------------------------------------

export class Result {
	constructor() {
		this.body = h('div');
		this.element = card('Result', this.body);
	}

	async show(job) {
		const path = localPath(job._links?.results?.href ?? '');
		this.close();
		this.element.hidden = !path;
		if (!path)
			return;
		const { signal } = this.abort = new AbortController();
		this.body.replaceChildren(h('p', { class: 'muted' }, 'Looking at it …'));
		try {
			const head = await request(path, { method: 'HEAD', signal });
			const size = Number(head.headers.get('Content-Length') ?? 0);
			const type = head.headers.get('Content-Type') ?? 'application/octet-stream';
			const preview = size > 0 && TEXT_TYPE.test(type) ? await this.preview(path, type, size, signal) : null;
			this.body.replaceChildren(h('p', { class: 'result-line' },
				h('a', { class: 'button primary', href: path, download: job.jobId }, icon('download'), 'Download'),
				h('span', { class: 'muted' }, `${bytes(size)}, ${type}`)), ...(preview ? [preview] : []));
		} catch (error) {
			if (!signal.aborted)
				this.body.replaceChildren(problemBox(error, () => this.show(job)));
		}
	}

	/** The beginning of a text, as text. */
	async preview(path, type, size, signal) {
		const whole = size <= PREVIEW_BYTES;
		const answer = await request(path, { signal, headers: whole ? {} : { Range: `bytes=0-${PREVIEW_BYTES - 1}` } });
		let content = await answer.text();
		if (whole && /json\b/.test(type) && !/ndjson/.test(type)) {
			try {
				content = JSON.stringify(JSON.parse(content), null, 2);
			} catch {
				// Then as it is.
			}
		}
		return h('div', {}, h('pre', { class: 'text', tabindex: '0', role: 'region', 'aria-label': 'The result' }, content),
			!whole && h('p', { class: 'muted' }, `The first ${bytes(PREVIEW_BYTES)} of ${bytes(size)}.`));
	}

	close() {
		this.abort?.abort();
	}
}

// ---- log -------------------------------------------------------------------------------------------

export class Log {
	constructor(path) {
		this.path = path;
		this.title = h('span', { class: 'muted' });
		this.again = h('button', { type: 'button', class: 'small', onclick: () => this.show(this.attempt) }, icon('retry'), 'Read again');
		this.body = h('pre', { class: 'text log', tabindex: '0', role: 'region', 'aria-label': 'The log' });
		this.trouble = h('div');
		this.element = card('Log', this.trouble, this.body);
		this.element.querySelector('.part-head').append(this.title, this.again);
	}

	/** Shows the newest log that there is. Types may keep theirs to themselves: then attempts tell of none. */
	offer(attempts) {
		const last = attempts.filter(one => one.logSize).at(-1);
		this.element.hidden = !last;
		if (last)
			this.show(last.attempt);
	}

	/** The log of an attempt; moves the focus there if it was asked for. */
	async show(attempt, focus = false) {
		this.attempt = attempt;
		try {
			const answer = await request(`${this.path}/log?attempt=${Number(attempt)}`);
			const content = await answer.text();
			const number = answer.headers.get('Longhaul-Attempt');
			text(this.title, number ? `attempt ${number}` : '');
			text(this.body, content || 'It is empty.');
			this.trouble.replaceChildren();
			this.body.hidden = false;
			this.body.scrollTop = this.body.scrollHeight;
			if (focus)
				this.body.focus();
		} catch (error) {
			this.body.hidden = true;
			this.trouble.replaceChildren(problemBox(error, () => this.show(attempt, focus)));
		}
	}
}

// ---- deliveries ------------------------------------------------------------------------------------

const DELIVERY_WORDS = { pending: 'Pending', delivered: 'Delivered', failed: 'Failed', dropped: 'Dropped' };

export class Deliveries {
	constructor(path) {
		this.path = path;
		this.body = h('div');
		this.element = card('Webhook deliveries', this.body);
	}

	async load() {
		try {
			const page = await json(`${this.path}/deliveries`);
			this.show(page.deliveries ?? []);
		} catch (error) {
			this.element.hidden = false;
			this.body.replaceChildren(problemBox(error, () => this.load()));
		}
	}

	show(deliveries) {
		this.element.hidden = deliveries.length === 0;
		this.body.replaceChildren(table('Deliveries', ['Event', 'Status', 'Created', 'Tries', 'Last try', ''], deliveries.map(one => {
			const tries = Array.isArray(one.tries) ? one.tries : [];
			const last = tries.at(-1);
			const again = localPath(one._links?.redeliver?.href ?? '');
			return [String(one.event), DELIVERY_WORDS[one.status] ?? String(one.status), time(one.createdTime), String(tries.length),
				last ? [last.statusCode ?? last.status, last.error].filter(Boolean).join(' ') : one.nextTryTime ? 'to come' : '',
				again ? h('button', { type: 'button', class: 'small', onclick: () => this.redeliver(again) }, icon('retry'), 'Deliver again') : ''];
		})));
	}

	async redeliver(path) {
		try {
			await json(path, { method: 'POST' });
			toast('It will be delivered again');
			this.load();
		} catch (error) {
			toastError('It can’t be delivered again', error);
		}
	}
}
