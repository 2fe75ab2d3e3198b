// The pieces that a job is shown with, in the list and on its own page.

import { isLive } from './actions.js';
import { attribute, h, icon, text } from './dom.js';
import { absolute, duration, now, number, seconds, until } from './format.js';

const WORDS = { Queued: 'Queued', InProgress: 'In progress', Completed: 'Completed', Failed: 'Failed', Canceled: 'Canceled',
	Interrupted: 'Interrupted' };
const ICONS = { Queued: 'queued', InProgress: 'running', Completed: 'done', Failed: 'failed', Canceled: 'canceled',
	Interrupted: 'canceled' };

export const STATUSES = ['Queued', 'InProgress', 'Completed', 'Failed', 'Canceled'];
export const word = status => WORDS[status] ?? String(status);

/** A status with its picture: never by colour alone. */
export function badge() {
	return h('span', { class: 'badge' });
}

export function updateBadge(element, status) {
	if (element.dataset.status === status)
		return;
	element.dataset.status = status;
	element.replaceChildren(...(ICONS[status] ? [icon(ICONS[status])] : []), word(status));
}

/** A time in words, with the exact one behind it. */
export function timeElement(className) {
	return h('time', { class: className });
}

export function updateTime(element, time, words) {
	attribute(element, 'datetime', time);
	attribute(element, 'title', time ? absolute(time) : null);
	text(element, time ? words(time) : '');
}

/** How long it has taken, or takes up to now. */
export function took(job) {
	const from = job.startedTime;
	if (!from)
		return '';
	if (job.completionTime)
		return duration(Date.parse(job.completionTime) - Date.parse(from));
	return job.status === 'InProgress' ? seconds(now() - Date.parse(from)) : '';
}

/** What a job's pace says: when it should be done, or what it waits for. */
export function outlook(job) {
	if (!isLive(job))
		return '';
	if (job.runAtTime && Date.parse(job.runAtTime) > now())
		return `starts ${until(job.runAtTime)}`;
	return job.estimatedCompletionTime ? `done ${until(job.estimatedCompletionTime)}` : '';
}

/** Progress in words: what stands beside the bar. */
export function progressWords(job) {
	const { done, total, message } = job.progress ?? {};
	if (job.status === 'Queued')
		return job.queuePosition ? `${number(job.queuePosition)} in the queue` : job.attempt ? 'waits for its next attempt' : 'waiting';
	if (job.status === 'Failed')
		return job.error?.title ?? '';
	if (job.status !== 'InProgress')
		return message ?? '';
	if (message)
		return message;
	if (done !== undefined && total !== undefined)
		return `${number(done)} of ${number(total)}`;
	return done !== undefined ? `${number(done)} done` : '';
}

export function progressBar() {
	return h('progress', { max: '100' });
}

export function updateBar(bar, job) {
	bar.hidden = job.status !== 'InProgress';
	if (bar.hidden)
		return;
	attribute(bar, 'aria-label', `Progress of ${job.type} ${job.jobId.slice(-12)}`);
	attribute(bar, 'value', job.percentComplete ?? null);
}

export const percent = job => job.status === 'InProgress' && job.percentComplete !== undefined
	? `${Math.floor(job.percentComplete)} %` : '';
