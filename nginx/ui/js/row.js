// One job in the list.

import * as actions from './actions.js';
import { attribute, h, icon, text } from './dom.js';
import { ago, shortId } from './format.js';
import { badge, outlook, percent, progressBar, progressWords, timeElement, took, updateBadge, updateBar, updateTime } from './parts.js';

const cell = (className, ...children) => h('div', { role: 'cell', class: className }, ...children);

export class Row {
	/** `onChange(id, document)` is told what an action has made of the job. */
	constructor(job, onChange) {
		this.job = job;
		this.onChange = onChange;
		this.badge = badge();
		this.link = h('a', { class: 'job-link' });
		this.id = h('span', { class: 'mono muted' });
		this.bar = progressBar();
		this.percent = h('span', { class: 'percent' });
		this.words = h('span', { class: 'words' });
		this.created = timeElement();
		this.took = h('span');
		this.outlook = h('span', { class: 'muted' });
		this.button = h('button', { type: 'button', class: 'small', onclick: () => this.act() });
		this.element = h('div', { role: 'row', class: 'row' },
			cell('c-status', this.badge),
			cell('c-job', this.link, this.id),
			cell('c-progress', h('div', { class: 'bar-line' }, this.bar, this.percent), this.words),
			cell('c-created', this.created),
			cell('c-time', this.took, this.outlook),
			cell('c-action', this.button));
		this.update(job);
	}

	update(job) {
		this.job = job;
		this.element.dataset.id = job.jobId;
		updateBadge(this.badge, job.status);
		text(this.link, job.type);
		attribute(this.link, 'href', actions.pageOf(job));
		text(this.id, shortId(job.jobId));
		attribute(this.id, 'title', job.jobId);
		updateBar(this.bar, job);
		text(this.percent, percent(job));
		text(this.words, progressWords(job));
		attribute(this.words, 'title', progressWords(job) || null);
		this.updateButton(job);
		this.tick();
	}

	/** The same button for both, so that the focus stays where it is. */
	updateButton(job) {
		const what = actions.canCancel(job) ? 'Cancel' : actions.canRetry(job) ? 'Retry' : '';
		if (this.what === what)
			return;
		this.what = what;
		this.button.hidden = !what;
		this.button.replaceChildren(...(what ? [icon(what === 'Cancel' ? 'canceled' : 'retry'), what] : []));
		attribute(this.button, 'aria-label', what ? `${what} ${job.type} ${shortId(job.jobId)}` : null);
	}

	/** What changes with time alone. */
	tick() {
		updateTime(this.created, this.job.createdTime, ago);
		text(this.took, took(this.job));
		text(this.outlook, outlook(this.job));
	}

	async act() {
		const { job } = this;
		const now = await (this.what === 'Cancel' ? actions.cancel(job) : actions.retry(job));
		if (now !== undefined)
			this.onChange(job.jobId, now);
	}
}
