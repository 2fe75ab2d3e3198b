// The numbers and charts above the list, from the API's statistics.

import { json } from './api.js';
import { ageChart, failureChart, throughputChart } from './charts.js';
import { h, text } from './dom.js';
import { minute, now, number, seconds } from './format.js';
import { problemBox, recall, remember } from './ui.js';

const IDLE_MS = 15000;
const BUSY_MS = 3000; /* at most so often while jobs come and end */
const AWAY_MS = 4000;
const SAMPLE_MS = 10000;
const SAMPLES = 400;
const HOUR_S = 3600;

const tile = (name, className = '') => {
	const value = h('dd', {}, '–');
	return { value, element: h('div', { class: `tile ${className}` }, h('dt', {}, name), value) };
};

export class Overview {
	constructor() {
		this.samples = []; /* [Unix s, age in s] */
		this.charts = { throughput: throughputChart(), age: ageChart(), failures: failureChart() };
		this.tiles = { running: tile('Running', 'run'), queued: tile('Queued'), age: tile('Oldest waiting'), done: tile('Completed, last hour', 'good'),
			failed: tile('Failed, last hour', 'bad') };
		this.rows = h('tbody');
		this.numbers = h('details', { class: 'numbers', ontoggle: () => this.showTable() }, h('summary', {}, 'The numbers as a table'),
			h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Ends by minute' }, h('table', {}, h('thead', {}, h('tr', {},
				['Minute', 'Completed', 'Failed', 'Canceled'].map(name => h('th', { scope: 'col' }, name)))), this.rows)));
		const narrow = matchMedia('(max-width: 640px)').matches;
		this.fold = h('details', { class: 'charts-fold', open: recall('charts', narrow ? 'closed' : 'open') === 'open' },
		h('summary', { onclick: () => remember('charts', this.fold.open ? 'closed' : 'open') }, 'Charts of the last hour'),
		h('div', { class: 'charts' }, Object.values(this.charts).map(chart => chart.element)), this.numbers);
		this.trouble = h('div', { class: 'trouble' });
		this.element = h('section', { class: 'overview', 'aria-label': 'Overview' },
			h('dl', { class: 'tiles' }, Object.values(this.tiles).map(t => t.element)), this.trouble, this.fold);
		this.soon(0);
	}

	soon(ms) {
		clearTimeout(this.timer);
		this.due = Date.now() + ms;
		this.timer = setTimeout(() => this.load(), ms);
	}

	/** Something has changed: the numbers are read before their time, but not for each event. */
	stir() {
		const earliest = Math.max(Date.now() + 500, (this.readAt ?? 0) + BUSY_MS);
		if (this.due - earliest > 200)
			this.soon(earliest - Date.now());
	}

	async load() {
		if (document.hidden) {
			this.soon(IDLE_MS);
			return;
		}
		this.readAt = Date.now();
		this.due = Infinity;
		try {
			this.took(await json('/v1/jobs/statistics'));
			this.trouble.replaceChildren();
			this.soon(IDLE_MS);
		} catch (error) {
			if (error.away === false)
				this.trouble.replaceChildren(problemBox(error));
			this.soon(error.away ? AWAY_MS : IDLE_MS);
		}
	}

	took(statistics) {
		this.statistics = statistics;
		const { minutes = [], queued = {}, running = {} } = statistics;
		const sum = name => minutes.reduce((total, one) => total + (one[name] ?? 0), 0);
		const sums = { completed: sum('completed'), failed: sum('failed'), canceled: sum('canceled') };
		text(this.tiles.running.value, number(running.count ?? 0));
		text(this.tiles.queued.value, `${number(queued.count ?? 0)}${queued.atLeast ? '+' : ''}`);
		text(this.tiles.done.value, number(sums.completed));
		text(this.tiles.failed.value, number(sums.failed));
		this.tiles.failed.element.classList.toggle('some', sums.failed > 0);
		this.tick();
		this.drawMinutes(minutes, sums);
		this.drawAge();
		this.showTable();
	}

	age() {
		const oldest = this.statistics?.queued?.oldestCreatedTime;
		return oldest ? Math.max(0, now() - Date.parse(oldest)) : 0;
	}

	drawMinutes(minutes, { completed, failed, canceled }) {
		const times = minutes.map(one => Date.parse(one.time) / 1000);
		const of = name => minutes.map(one => one[name] ?? 0);
		const ended = completed + failed + canceled;
		this.charts.throughput.set([times, of('completed'), of('canceled'), of('failed')],
			ended ? `${number(ended)} ended in the last hour` : 'Nothing has ended in the last hour');
		this.charts.failures.set([times, of('failed')],
			failed ? `${number(failed)} in the last hour, ${(100 * failed / ended).toFixed(ended > 999 ? 1 : 0)} % of what ended` : 'None in the last hour');
	}

	/** What is known of the time before the page was opened: how long the job that is now the oldest had waited. */
	firstSamples(s) {
		const age = this.age() / 1000;
		return Array.from({ length: 60 }, (_, n) => s - HOUR_S + 60 * n).map(at => [at, age > s - at ? age - (s - at) : null]);
	}

	drawAge() {
		const s = Math.round(now() / 1000);
		const age = this.age() / 1000;
		if (this.samples.length === 0)
			this.samples = this.firstSamples(s);
		if (s - this.samples.at(-1)[0] >= SAMPLE_MS / 1000)
			this.samples.push([s, age]);
		this.samples = this.samples.filter(([at]) => at >= s - HOUR_S).slice(-SAMPLES);
		const shown = [[s - HOUR_S - 1, null], ...this.samples, [s + 1, age]];
		this.charts.age.set([shown.map(p => p[0]), shown.map(p => p[1])], age ? `The oldest job has waited ${seconds(age * 1000)}` : 'Nothing waits');
	}

	showTable() {
		if (!this.numbers.open || !this.statistics)
			return;
		this.rows.replaceChildren(...(this.statistics.minutes ?? []).slice().reverse().map(one => h('tr', {},
			h('th', { scope: 'row' }, minute(Date.parse(one.time))), ['completed', 'failed', 'canceled'].map(name => h('td', {}, number(one[name] ?? 0))))));
	}

	tick() {
		text(this.tiles.age.value, this.statistics ? this.age() ? seconds(this.age()) : '–' : '–');
	}
}
