// Requests to the API, and whether it can be reached.

import { serverDate } from './format.js';

const TIMEOUT_MS = 30000;
const AWAY = new Set([502, 503, 504]);

/** What went wrong, in words; `status` is 0 if there was no answer. */
export class ApiError extends Error {
	constructor(title, detail, status = 0, problem = {}) {
		super(title);
		this.title = title;
		this.detail = detail;
		this.status = status;
		this.problem = problem;
	}

	get away() {
		return this.status === 0 || AWAY.has(this.status);
	}
}

/** Tells of every request whether the API was there: listeners get null, or the error. */
export const reach = new EventTarget();

function tell(error) {
	reach.dispatchEvent(new CustomEvent('reach', { detail: error }));
}

/** The path of a link, if it leads to the API; the origin is always ours, whatever base URL it was made with. */
export function localPath(href) {
	try {
		const url = new URL(href, location.href);
		return /^\/v1\//.test(url.pathname) ? url.pathname + url.search : null;
	} catch {
		return null;
	}
}

const isJson = answer => /^application\/(?:[\w.-]+\+)?json\b/.test(answer.headers.get('Content-Type') ?? '');

async function problemOf(answer) {
	let problem = {};
	if (isJson(answer)) {
		try {
			problem = await answer.json() ?? {};
		} catch {
			// Cut off, or not what it says it is: the status has to do.
		}
	}
	const title = typeof problem.title === 'string' ? problem.title : `The server answered ${answer.status}`;
	const details = [problem.detail, ...(problem.errors ?? []).map?.(e => [e.where ?? e.name ?? e.field, e.why ?? e.reason ?? e.message]
		.filter(Boolean).join(': ')) ?? []].filter(d => typeof d === 'string' && d);
	return new ApiError(title, details.join(' '), answer.status, problem);
}

/** The answer to a request if it is a success; else throws an ApiError. */
export async function request(path, { method = 'GET', headers = {}, signal } = {}) {
	let answer;
	try {
		const timeout = AbortSignal.timeout(TIMEOUT_MS);
		// Not relative to the page, whose address may hold a password, which fetch() refuses.
		answer = await fetch(new URL(path, location.origin), { method, headers, credentials: 'same-origin', redirect: 'follow', cache: 'no-store',
			signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
	} catch (cause) {
		if (signal?.aborted)
			throw cause;
		const error = new ApiError('The server can’t be reached', navigator.onLine
			? 'There was no answer. This page tries again by itself.' : 'This device is offline.');
		tell(error);
		throw error;
	}
	serverDate(answer.headers.get('Date'));
	if (!answer.ok) {
		const error = await problemOf(answer);
		tell(error.away ? error : null);
		throw error;
	}
	tell(null);
	return answer;
}

/** The JSON of an answer; of one without content null. */
export async function json(path, options = {}) {
	const answer = await request(path, { ...options, headers: { Accept: 'application/json', ...options.headers } });
	if (answer.status === 204)
		return null;
	if (!isJson(answer))
		throw new ApiError('The answer is not from the API', 'Another page came in its place: perhaps your session has ended. Reload the page to sign in again.', answer.status);
	return answer.json();
}
