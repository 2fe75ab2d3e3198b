// Charts of the last hour, drawn by uPlot on a canvas, with their numbers in words and as a table.

import { h, text } from './dom.js';
import { minute, number, seconds } from './format.js';
import { themeChanges } from './ui.js';

const HEIGHT = 132;
const bars = () => globalThis.uPlot.paths.bars({ size: [0.72, 14] });

/** A colour of the style sheet as the canvas wants it. */
function colour(name) {
	const probe = h('span', { class: `ink-${name}` });
	document.body.append(probe);
	const { color } = getComputedStyle(probe);
	probe.remove();
	return color;
}

const transparent = rgb => rgb.replace(/^rgb\((.*)\)$/, 'rgba($1, .18)');

// Steps of the axes: whole numbers, and times as a clock has them.
const COUNTS = Array.from({ length: 30 }, (_, n) => [1, 2, 5][n % 3] * 10 ** Math.floor(n / 3));
const TIMES = [10, 20, 30, ...[1, 2, 5, 10, 20, 30].map(n => n * 60), ...[1, 2, 3, 6, 12].map(n => n * 3600), ...COUNTS.map(n => n * 86400)];

function shortTime(s) {
	const [length, unit] = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']].find(([l]) => s >= l && s % l === 0) ?? [1, 's'];
	return s ? `${s / length} ${unit}` : '0';
}

class Chart {
	/** `series` is a list of { name, ink, line }; `words(values)` tells of one moment. */
	constructor({ title, series, words, value = number, steps = COUNTS, stacked = false }) {
		Object.assign(this, { series, words, value, steps, stacked, data: null });
		this.reading = h('p', { class: 'reading' });
		this.plot = h('div', { class: 'plot', role: 'img', 'aria-label': title });
		this.title = title;
		this.element = h('figure', { class: 'chart' }, h('figcaption', {}, title), this.reading, this.plot);
		new ResizeObserver(() => this.resize()).observe(this.plot);
		themeChanges.addEventListener('change', () => this.rebuild());
	}

	set(data, sentence) {
		this.data = data;
		this.sentence = sentence;
		this.plot.setAttribute('aria-label', `${this.title}. ${sentence}`);
		text(this.reading, sentence);
		if (this.uplot)
			this.uplot.setData(this.drawn());
		else
			this.rebuild();
	}

	/** With stacked bars the first series is drawn first and highest, so that the others stand in front of it. */
	drawn() {
		const [times, ...values] = this.data;
		if (!this.stacked)
			return this.data;
		return [times, ...values.map((_, n) => times.map((__, at) =>
			values.slice(n).reduce((sum, one) => sum + (one[at] ?? 0), 0)))];
	}

	rebuild() {
		if (!this.data || !this.plot.clientWidth || !globalThis.uPlot)
			return;
		this.uplot?.destroy();
		this.uplot = new globalThis.uPlot(this.options(), this.drawn(), this.plot);
	}

	resize() {
		if (!this.uplot)
			this.rebuild();
		else if (this.plot.clientWidth)
			this.uplot.setSize({ width: this.plot.clientWidth, height: HEIGHT });
	}

	options() {
		const axis = { stroke: colour('muted'), font: '11px system-ui, sans-serif', ticks: { show: false } };
		const grid = { stroke: colour('line'), width: 1 };
		return {
			width: this.plot.clientWidth, height: HEIGHT, legend: { show: false }, padding: [8, 6, 0, 0],
			cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
			scales: { x: { time: true }, y: { range: (_, __, max) => [0, Math.max(max * 1.1, this.stacked ? 4 : 60)] } },
			axes: [
				{ ...axis, grid: { show: false }, space: 70, size: 26, values: (_, splits) => splits.map(s => minute(s * 1000)) },
				{ ...axis, grid, space: 26, size: 46, incrs: this.steps, values: (_, splits) => splits.map(s => this.value(s)) },
			],
			series: [{}, ...this.series.map(s => this.seriesOptions(s))],
			hooks: { setCursor: [plot => this.read(plot.cursor.idx)] },
		};
	}

	seriesOptions({ name, ink, line }) {
		const stroke = colour(ink);
		return line ? { label: name, stroke, width: 2, fill: transparent(stroke), points: { show: false } }
			: { label: name, stroke, fill: stroke, width: 0, paths: bars(), points: { show: false } };
	}

	/** What stands under the pointer, in words. */
	read(index) {
		const at = index === null || index === undefined ? undefined : this.data?.[0][index];
		text(this.reading, at === undefined ? this.sentence : `${minute(at * 1000)} · ${this.words(this.data.slice(1).map(one => one[index]))}`);
	}
}

const plural = (n, what) => `${number(n ?? 0)} ${what}`;

export const throughputChart = () => new Chart({
	title: 'Throughput per minute', stacked: true,
	series: [{ name: 'Completed', ink: 'done' }, { name: 'Canceled', ink: 'canceled' }, { name: 'Failed', ink: 'failed' }],
	words: ([done, canceled, failed]) => [plural(done, 'completed'), failed && plural(failed, 'failed'), canceled && plural(canceled, 'canceled')].filter(Boolean).join(', '),
});

export const failureChart = () => new Chart({
	title: 'Failures per minute', stacked: true,
	series: [{ name: 'Failed', ink: 'failed' }],
	words: ([failed]) => plural(failed, 'failed'),
});

export const ageChart = () => new Chart({
	title: 'Age of the queue', value: shortTime, steps: TIMES,
	series: [{ name: 'Oldest waiting job', ink: 'running', line: true }],
	words: ([age]) => age ? `the oldest had waited ${seconds(age * 1000)}` : age === 0 ? 'nothing waited' : 'not known',
});
