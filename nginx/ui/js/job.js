// The page of one job.

import * as actions from './actions.js';
import { json } from './api.js';
import { attribute, h, icon, perFrame, text } from './dom.js';
import { absolute, ago, bytes, now, until } from './format.js';
import { Attempts, Deliveries, Log, Result } from './job_parts.js';
import { badge, outlook, percent, progressBar, progressWords, timeElement, took, updateBadge, updateBar, updateTime, word } from './parts.js';
import { announce, problemBox, toast } from './ui.js';

const FACTS = ['Created', 'Starts', 'Must start by', 'Started', 'Estimated end', 'Ended', 'Took', 'Attempt', 'Position in the queue', 'Input', 'Kept until'];

export class JobPage {
	/** `path` is collection/id. */
	constructor(path) {
		this.path = `/v1/${path}`;
		this.draw = perFrame(() => this.drawNow());
		this.build();
		this.load();
	}

	// ---- the page ----------------------------------------------------------------------------------

	button(what, picture, className, act) {
		return h('button', { type: 'button', class: className, hidden: true, onclick: () => this.act(act) }, icon(picture), what);
	}

	build() {
		this.title = h('h1', { tabindex: '-1' }, 'Job');
		this.badge = badge();
		this.bar = progressBar();
		this.percent = h('span', { class: 'percent' });
		this.words = h('span', { class: 'words' });
		this.outlook = h('span', { class: 'muted' });
		this.progress = h('div', { class: 'job-progress' }, h('div', { class: 'bar-line' }, this.bar, this.percent),
			h('div', { class: 'bar-words' }, this.words, this.outlook));
		this.cancel = this.button('Cancel', 'canceled', '', actions.cancel);
		this.retry = this.button('Retry', 'retry', 'primary', actions.retry);
		this.remove = this.button('Delete', 'trash', 'danger', actions.remove);
		this.id = h('code', { class: 'mono' });
		this.copy = h('button', { type: 'button', class: 'plain', 'aria-label': 'Copy the job’s id', title: 'Copy', onclick: () => this.copyId() }, icon('copy'));
		this.facts = h('dl', { class: 'facts' });
		this.factValues = new Map();
		this.error = h('div');
		this.attempts = new Attempts(this.path);
		this.result = new Result();
		this.log = new Log(this.path);
		this.deliveries = new Deliveries(this.path);
		this.attempts.onPick = attempt => this.log.show(attempt, true);
		this.trouble = h('div');
		this.content = h('div', { hidden: true },
			h('section', { class: 'card job-card', 'aria-label': 'Where it stands' },
				h('div', { class: 'job-head' }, h('div', { class: 'job-name' }, this.title, this.badge),
					h('div', { class: 'buttons' }, this.cancel, this.retry, this.remove)),
				h('p', { class: 'job-id' }, this.id, this.copy),
				this.progress, this.facts),
			this.error, this.result.element, this.attempts.element, this.log.element, this.deliveries.element);
		this.element = h('div', { class: 'job-page' }, h('p', { class: 'way-back' }, h('a', { href: '#/' }, icon('back'), 'All jobs')), this.trouble, this.content);
	}

	// ---- reading -----------------------------------------------------------------------------------

	async load() {
		try {
			this.show(await json(this.path));
			this.trouble.replaceChildren();
		} catch (error) {
			if (error.status === 404 || error.status === 410)
				this.gone(error);
			else
				this.trouble.replaceChildren(problemBox(error, () => this.load()));
		}
	}

	/** It never was, isn't this client's, or has been removed meanwhile. */
	gone(error) {
		this.content.hidden = true;
		this.trouble.replaceChildren(problemBox(error));
	}

	event(job) {
		if (actions.jobPath(job) === this.path)
			this.show(job);
	}

	/** The stream was away: what is shown may be old. */
	refresh() {
		this.load();
	}

	show(job) {
		const before = this.job;
		this.job = job;
		this.content.hidden = false;
		if (before && before.status !== job.status)
			announce(`The job is ${word(job.status).toLowerCase()}`);
		if (!before)
			document.title = `${job.type} · longhaul`;
		this.draw();
		if (!before || before.status !== job.status || before.attempt !== job.attempt) {
			this.attempts.load(about => this.attemptsCame(about));
			this.result.show(job);
			this.deliveries.load();
		}
	}

	attemptsCame({ inputSize, inputType, attempts }) {
		this.log.offer(attempts ?? []);
		this.input = inputSize === undefined ? '' : [bytes(inputSize), inputType].filter(Boolean).join(', ');
		this.draw();
	}

	// ---- drawing -----------------------------------------------------------------------------------

	drawNow() {
		const { job } = this;
		text(this.title, job.type);
		updateBadge(this.badge, job.status);
		text(this.id, job.jobId);
		updateBar(this.bar, job);
		text(this.percent, percent(job));
		text(this.words, job.status === 'Failed' ? '' : progressWords(job));
		this.drawButtons(job);
		this.drawError(job);
		this.progress.hidden = !actions.isLive(job) && !this.words.textContent;
		this.fact('Attempt', job.attempt ? String(job.attempt) : '');
		this.fact('Position in the queue', job.queuePosition ? String(job.queuePosition) : '');
		this.fact('Input', this.input ?? '');
		this.tick();
	}

	tick() {
		const { job } = this;
		if (!job)
			return;
		text(this.outlook, outlook(job));
		this.factTime('Created', job.createdTime);
		this.factTime('Starts', actions.isLive(job) ? job.runAtTime : undefined);
		this.factTime('Must start by', job.startByTime);
		this.factTime('Started', job.startedTime);
		this.factTime('Estimated end', actions.isLive(job) ? job.estimatedCompletionTime : undefined);
		this.factTime('Ended', job.completionTime);
		this.factTime('Kept until', job.expiresTime);
		this.fact('Took', took(job));
	}

	/** The element of a fact; facts stand in their order, and only those that are known. */
	factElement(name, known, make) {
		let found = this.factValues.get(name);
		if (!found && known) {
			found = { value: make() };
			found.element = h('div', {}, h('dt', {}, name), h('dd', {}, found.value));
			this.factValues.set(name, found);
		}
		if (found && known !== found.element.isConnected) {
			if (known)
				this.facts.insertBefore(found.element, this.after(name));
			else
				found.element.remove();
		}
		return known ? found.value : null;
	}

	after(name) {
		for (const other of FACTS.slice(FACTS.indexOf(name) + 1)) {
			const element = this.factValues.get(other)?.element;
			if (element?.parentNode === this.facts)
				return element;
		}
		return null;
	}

	fact(name, value) {
		const element = this.factElement(name, Boolean(value), () => h('span'));
		if (element)
			text(element, value);
	}

	factTime(name, time) {
		const element = this.factElement(name, Boolean(time), () => h('span', {}, timeElement(), h('span', { class: 'muted' })));
		if (!element)
			return;
		updateTime(element.firstChild, time, absolute);
		text(element.lastChild, Date.parse(time) > now() ? until(time) : ago(time));
	}

	drawButtons(job) {
		const shown = [[this.cancel, actions.canCancel(job)], [this.retry, actions.canRetry(job)], [this.remove, actions.canDelete(job)]];
		for (const [button, show] of shown) {
			const focused = document.activeElement === button;
			button.hidden = !show;
			if (focused && !show)
				this.title.focus();
		}
	}

	drawError(job) {
		const key = JSON.stringify(job.error ?? null);
		if (this.errorShown === key)
			return;
		this.errorShown = key;
		if (!job.error) {
			this.error.replaceChildren();
			return;
		}
		const { title, detail, type, status, ...rest } = job.error;
		const more = Object.keys(rest).length > 0;
		this.error.replaceChildren(h('section', { class: 'card error-card', 'aria-labelledby': 'error-title' },
			h('h2', { id: 'error-title' }, icon('failed'), String(title ?? 'The job failed')),
			detail && h('p', {}, String(detail)),
			h('p', { class: 'muted' }, [type, status && `status ${status}`].filter(Boolean).join(' · ')),
			more && h('pre', { class: 'text', tabindex: '0', role: 'region', 'aria-label': 'More about the error' }, JSON.stringify(rest, null, 2))));
	}

	// ---- actions -----------------------------------------------------------------------------------

	async act(action) {
		if (this.busy || !this.job)
			return;
		this.busy = true;
		for (const button of [this.cancel, this.retry, this.remove])
			attribute(button, 'aria-disabled', 'true');
		const result = await action(this.job);
		this.busy = false;
		for (const button of [this.cancel, this.retry, this.remove])
			attribute(button, 'aria-disabled', null);
		if (result)
			this.show(result);
		else if (result === null)
			location.hash = '#/';
	}

	/** For the shortcuts: what the button does, if it is there. */
	press(name) {
		if (!this[name].hidden)
			this[name].click();
	}

	async copyId() {
		try {
			await navigator.clipboard.writeText(this.job.jobId);
			toast('The id is copied');
		} catch {
			getSelection().selectAllChildren(this.id);
			toast('The id is selected', 'Copy it from there.');
		}
	}

	close() {
		this.result.close();
	}
}
