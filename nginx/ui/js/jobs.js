// The list of jobs: one page of them, kept up to date by the event stream.
//
// However many jobs there are and however fast they change, this holds at most MAX_ROWS of them: an event
// about a job that isn't shown is looked at and forgotten, those about the shown ones are drawn together with
// the next frame, and when more new jobs have come than there is room for, the page is read again.

import { json, localPath } from './api.js';
import { isLive } from './actions.js';
import { attribute, h, icon, perFrame, text } from './dom.js';
import { now } from './format.js';
import { STATUSES, word } from './parts.js';
import { Row } from './row.js';
import { knownTypes, noteType, typesChange } from './types.js';
import { problemBox } from './ui.js';

const PAGE = 50;
const MAX_ROWS = 2 * PAGE;
const PAGES_AT_ONCE = 6; /* requests to fill one page when a filter matches little */
const RELOAD_MS = 2500;
const NEW_MAX = 999;

const PERIODS = { '': 'Any time', '15m': 'Last 15 minutes', '1h': 'Last hour', '24h': 'Last 24 hours', '7d': 'Last 7 days' };
const PERIOD_MS = { '15m': 900e3, '1h': 3600e3, '24h': 86400e3, '7d': 7 * 86400e3 };

/** The address of a list. */
export function listHash(filter) {
	const query = new URLSearchParams(Object.entries(filter).filter(([, value]) => value));
	return query.size ? `#/?${query}` : '#/';
}

/** Unix ms of a filter's `since`: a period that goes with the time, or a time; 0 = any. */
function sinceMs(since) {
	if (PERIOD_MS[since])
		return now() - PERIOD_MS[since];
	const at = Date.parse(since ?? '');
	return Number.isNaN(at) ? 0 : at;
}

export class JobList {
	constructor(announceEnd) {
		this.announceEnd = announceEnd;
		this.filter = {};
		this.rows = new Map();
		this.ids = []; /* newest first */
		this.dirty = new Set();
		this.fresh = new Set(); /* new jobs that wait to be shown */
		this.trail = new Map(); /* cursor of a page -> filter of the one before it */
		this.draw = perFrame(() => this.drawNow());
		this.build();
		typesChange.addEventListener('change', () => this.fillTypes());
	}

	// ---- the page ----------------------------------------------------------------------------------

	build() {
		this.chips = ['', ...STATUSES].map(status => h('button', { type: 'button', class: 'chip', 'data-status': status,
			onclick: () => this.go({ status }) }, status ? word(status) : 'All'));
		this.type = h('select', { id: 'filter-type', onchange: () => this.go({ type: this.type.value }) });
		this.since = h('select', { id: 'filter-since', onchange: () => this.pickSince() });
		this.sinceAt = h('input', { type: 'datetime-local', id: 'filter-at', 'aria-label': 'Created after', step: 1,
			onchange: () => this.pickTime() });
		this.clear = h('button', { type: 'button', class: 'plain', onclick: () => { location.hash = '#/'; this.chips[0].focus(); } }, 'Clear filters');
		this.pause = h('button', { type: 'button', 'aria-pressed': 'false', onclick: () => this.togglePause() });
		this.pill = h('button', { type: 'button', class: 'pill', hidden: true, onclick: () => this.showFresh() });
		this.body = h('div', { role: 'rowgroup', class: 'rows' });
		this.table = h('div', { role: 'table', class: 'table', 'aria-label': 'Jobs, newest first' },
			h('div', { role: 'rowgroup' }, h('div', { role: 'row', class: 'row head' },
				['Status', 'Job', 'Progress', 'Created', 'Time', 'Action'].map((name, n) =>
					h('div', { role: 'columnheader', class: n === 5 ? 'c-action' : '' }, h('span', n === 5 ? { class: 'unseen' } : {}, name))))),
			this.body);
		this.note = h('div', { class: 'note' });
		this.newest = h('a', {}, 'Newest');
		this.newer = h('a', {}, icon('back'), 'Newer');
		this.older = h('a', { class: 'older' }, 'Older', icon('back'));
		this.pager = h('nav', { class: 'pager', 'aria-label': 'Pages of the list' }, this.newest, this.newer, this.older);
		this.element = h('section', { class: 'list card', 'aria-labelledby': 'list-title' },
			h('div', { class: 'list-head' }, h('h1', { id: 'list-title' }, 'Jobs'), this.pause),
			h('div', { class: 'filters', role: 'search', 'aria-label': 'Filter the jobs' },
				h('div', { class: 'chips', role: 'group', 'aria-label': 'Status' }, this.chips),
				h('div', { class: 'selects' },
					h('label', { for: 'filter-type' }, 'Type'), this.type,
					h('label', { for: 'filter-since' }, 'Created'), this.since, this.sinceAt, this.clear)),
			h('div', { class: 'pill-line' }, this.pill), this.table, this.note, this.pager);
		for (const name of ['pointerenter', 'pointerleave', 'focusin', 'focusout'])
			this.body.addEventListener(name, () => this.steadied(name));
		this.showPause();
		this.fillTypes();
	}

	fillTypes() {
		const names = [...new Set([...knownTypes().map(t => t.name), ...(this.filter.type ? [this.filter.type] : [])])].sort();
		this.type.replaceChildren(h('option', { value: '' }, 'All types'), ...names.map(name => h('option', { value: name }, name)));
		this.type.value = this.filter.type ?? '';
		if (this.waitsForType && knownTypes().some(t => t.name === this.filter.type))
			this.load();
	}

	fillSince() {
		const { since = '' } = this.filter;
		const own = since && !(since in PERIODS);
		this.since.replaceChildren(...Object.entries(PERIODS).map(([value, name]) => h('option', { value }, name)),
			h('option', { value: 'own' }, 'Since …'));
		this.since.value = own ? 'own' : since;
		this.sinceAt.hidden = !own;
		if (own) {
			const at = new Date(sinceMs(since));
			this.sinceAt.value = new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
		}
	}

	pickSince() {
		if (this.since.value !== 'own') {
			this.go({ since: this.since.value });
			return;
		}
		this.sinceAt.hidden = false;
		this.sinceAt.focus();
	}

	pickTime() {
		const at = new Date(this.sinceAt.value);
		if (!Number.isNaN(at.getTime()))
			this.go({ since: at.toISOString() });
	}

	/** Another filter: the first page of it, by the address, so that Back leads back. */
	go(change) {
		location.hash = listHash({ ...this.filter, ...change, cursor: '' });
	}

	/** Shows what the address says. */
	show(filter) {
		const same = JSON.stringify(filter) === JSON.stringify(this.filter) && this.loaded;
		this.filter = filter;
		this.fillTypes();
		this.fillSince();
		for (const chip of this.chips)
			chip.setAttribute('aria-pressed', String(chip.dataset.status === (filter.status ?? '')));
		this.clear.hidden = !(filter.status || filter.type || filter.since);
		if (!same) {
			this.empty();
			this.note.replaceChildren(h('p', { class: 'empty' }, 'Loading …'));
		}
		this.load();
	}

	empty() {
		this.rows.clear();
		this.ids = [];
		this.fresh.clear();
		this.loaded = false;
		this.drawNow();
	}

	get onFirstPage() {
		return !this.filter.cursor;
	}

	// ---- reading -----------------------------------------------------------------------------------

	firstUrl() {
		const type = knownTypes().find(t => t.name === this.filter.type);
		this.waitsForType = Boolean(this.filter.type && !type);
		const query = new URLSearchParams({ limit: PAGE });
		const since = sinceMs(this.filter.since);
		if (this.filter.status)
			query.set('status', this.filter.status);
		if (since)
			query.set('createdAfter', new Date(since).toISOString());
		if (this.filter.cursor)
			query.set('cursor', this.filter.cursor);
		return `/v1/${type ? encodeURIComponent(type.collection) : 'jobs'}?${query}`;
	}

	/** Reads the page. With a filter the API looks at a bounded number of rows: then this asks on, for a while. */
	async load(from = null) {
		this.abort?.abort();
		const { signal } = this.abort = new AbortController();
		const found = from ? [...this.rows.values()].map(row => row.job) : [];
		clearTimeout(this.reloadTimer);
		this.reloadTimer = 0;
		this.table.setAttribute('aria-busy', 'true');
		try {
			let url = from ?? this.firstUrl();
			for (let n = 0; url && n < PAGES_AT_ONCE && found.length < (n ? PAGE / 2 : 1); n++) {
				const page = await json(url, { signal });
				found.push(...(page.jobs ?? []).filter(job => !this.waitsForType || job.type === this.filter.type));
				url = localPath(page._links?.next?.href ?? '');
			}
			this.next = url;
			this.took(found);
		} catch (error) {
			if (!signal.aborted)
				this.note.replaceChildren(problemBox(error, () => this.load()));
		}
		if (!signal.aborted)
			this.table.removeAttribute('aria-busy');
	}

	/** A page has come: it is what is shown now. */
	took(jobs) {
		const seen = new Set();
		this.fresh.clear();
		jobs.forEach(noteType);
		for (const job of jobs.slice(0, MAX_ROWS)) {
			seen.add(job.jobId);
			this.put(job);
		}
		for (const id of [...this.rows.keys()].filter(id => !seen.has(id)))
			this.rows.delete(id);
		this.ids = this.ids.filter(id => seen.has(id));
		this.loaded = true;
		this.showPager();
		this.showNote();
		this.draw();
	}

	showPager() {
		const cursor = this.next && new URL(this.next, location.href).searchParams.get('cursor');
		const { cursor: here, ...filter } = this.filter;
		attribute(this.newest, 'href', listHash(filter));
		this.newest.hidden = this.newer.hidden = this.onFirstPage;
		this.pager.hidden = this.onFirstPage && !cursor;
		attribute(this.newer, 'href', listHash(this.trail.get(here) ?? filter));
		this.older.hidden = !cursor || this.ids.length === 0;
		if (cursor) {
			attribute(this.older, 'href', listHash({ ...filter, cursor }));
			this.trail.set(cursor, this.filter);
		}
	}

	showNote() {
		const filtered = this.filter.status || this.filter.type || this.filter.since;
		if (this.ids.length > 0) {
			text(this.note, '');
		} else if (this.next) {
			const { next } = this;
			this.note.replaceChildren(h('p', { class: 'empty' }, 'No match among the newest jobs.'),
				h('button', { type: 'button', onclick: () => this.load(next) }, 'Look further back'));
		} else {
			this.note.replaceChildren(h('p', { class: 'empty' }, h('strong', {}, filtered ? 'No jobs match' : 'No jobs yet'),
				filtered ? 'Try another filter, or clear them all.' : 'What you submit to the API appears here by itself.'));
		}
	}

	reloadSoon() {
		this.reloadTimer ||= setTimeout(() => {
			this.reloadTimer = 0;
			if (this.element.isConnected && !document.hidden)
				this.load();
		}, RELOAD_MS);
	}

	// ---- events ------------------------------------------------------------------------------------

	matches(job) {
		const { status, type, since } = this.filter;
		return (!status || job.status === status) && (!type || job.type === type) &&
			(!since || Date.parse(job.createdTime) > sinceMs(since));
	}

	/** Whether a job belongs between those shown. */
	inRange(id) {
		if (this.ids.length === 0)
			return this.onFirstPage && !this.next;
		return (this.onFirstPage || id <= this.ids[0]) && (!this.next || id >= this.ids.at(-1));
	}

	event(job) {
		noteType(job);
		if (!this.loaded)
			return;
		const row = this.rows.get(job.jobId);
		if (row) {
			if (!isLive(job) && isLive(row.job))
				this.announceEnd(job);
			this.change(job.jobId, this.matches(job) ? job : null);
		} else if (this.matches(job) && this.inRange(job.jobId)) {
			this.add(job);
		}
	}

	add(job) {
		if (this.fresh.has(job.jobId))
			return;
		if (!this.paused && !this.steady && this.rows.size < MAX_ROWS) {
			this.put(job);
			text(this.note, '');
			this.draw();
			return;
		}
		if (this.fresh.size < NEW_MAX)
			this.fresh.add(job.jobId);
		if (!this.paused && !this.steady)
			this.reloadSoon();
		this.draw();
	}

	/** What has become of a job that is shown: its document, or null if it is to go. */
	change(id, job) {
		if (job) {
			this.put(job);
		} else if (this.paused) {
			return;
		} else {
			this.rows.delete(id);
			this.ids = this.ids.filter(other => other !== id);
			if (this.ids.length < PAGE / 2)
				this.reloadSoon();
		}
		this.draw();
	}

	put(job) {
		const row = this.rows.get(job.jobId);
		if (row) {
			row.job = job;
			this.dirty.add(row);
			return;
		}
		this.rows.set(job.jobId, new Row(job, (id, now) => this.acted(id, now)));
		let at = this.ids.findIndex(id => id < job.jobId);
		if (at < 0)
			at = this.ids.length;
		this.ids.splice(at, 0, job.jobId);
	}

	/** After an action of the user: shown as it is, even if the filter says otherwise. */
	acted(id, job) {
		this.change(id, job);
	}

	// ---- drawing -----------------------------------------------------------------------------------

	drawNow() {
		for (const element of [...this.body.children])
			if (!this.rows.has(element.dataset.id))
				element.remove();
		this.ids.forEach((id, at) => {
			const { element } = this.rows.get(id);
			if (this.body.children[at] !== element)
				this.body.insertBefore(element, this.body.children[at] ?? null);
		});
		for (const row of this.dirty)
			row.update(row.job);
		this.dirty.clear();
		this.table.hidden = this.ids.length === 0;
		this.pill.hidden = this.fresh.size === 0;
		if (this.fresh.size)
			text(this.pill, `${this.fresh.size >= NEW_MAX ? `${NEW_MAX}+` : this.fresh.size} new: show`);
	}

	/** Each second. */
	tick() {
		for (const row of this.rows.values())
			row.tick();
	}

	// ---- holding still -----------------------------------------------------------------------------

	/** New rows don't push others away from under a pointer or the focus: they wait. */
	steadied(name) {
		if (name.startsWith('pointer'))
			this.pointed = name === 'pointerenter';
		else
			this.focused = name === 'focusin';
		this.steady = this.pointed || this.focused;
		if (!this.steady && !this.paused && this.fresh.size)
			this.reloadSoon();
	}

	togglePause() {
		this.paused = !this.paused;
		this.showPause();
		if (!this.paused)
			this.load();
	}

	showPause() {
		attribute(this.pause, 'aria-pressed', String(Boolean(this.paused)));
		this.pause.replaceChildren(icon(this.paused ? 'play' : 'pause'), this.paused ? 'Resume' : 'Pause');
		this.pause.title = this.paused ? 'New jobs are kept back (p)' : 'Keep new jobs back (p)';
	}

	showFresh() {
		if (this.onFirstPage)
			this.load();
		else
			location.hash = this.newest.getAttribute('href');
		this.pause.focus();
	}

	/** Moves the focus from job to job. */
	step(by) {
		const links = [...this.body.querySelectorAll('.job-link')];
		const at = links.indexOf(document.activeElement?.closest('.row')?.querySelector('.job-link'));
		links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + by))]?.focus();
	}

	/** The row that has the focus. */
	focusedRow() {
		return this.rows.get(document.activeElement?.closest?.('.row')?.dataset.id);
	}
}
