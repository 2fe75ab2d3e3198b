// The start, the pages by their addresses, and what reaches all of them.

import { json, reach } from './api.js';
import { JobPage } from './job.js';
import { JobList, listHash } from './jobs.js';
import { Overview } from './overview.js';
import { word } from './parts.js';
import { Reference } from './reference.js';
import { Stream } from './stream.js';
import { learnTypes } from './types.js';
import { announce, count, shortcut, showLink, showOutage, startFrame } from './ui.js';

const FILTERS = ['status', 'type', 'since', 'cursor'];
const PROBE_MS = 4000;

const main = document.getElementById('main');
const list = new JobList(job => count(word(job.status).toLowerCase()));
const overview = new Overview();
let page = null; /* what is shown: list, or a page of its own */
let lastList = '#/';
let description = null;
let out = false;

// ---- pages -----------------------------------------------------------------------------------------

function show(next, ...elements) {
	page?.close?.();
	page = next;
	main.replaceChildren(...elements);
	window.scrollTo(0, 0);
}

function showList(query) {
	const filter = Object.fromEntries(FILTERS.map(name => [name, query.get(name) ?? '']).filter(([, value]) => value));
	lastList = listHash(filter);
	document.title = 'Jobs · longhaul';
	if (page !== list)
		show(list, overview.element, list.element);
	list.show(filter);
	overview.stir();
}

function showJob(path) {
	const job = new JobPage(path);
	show(job, job.element);
	job.element.querySelector('.way-back a').setAttribute('href', lastList);
}

function showReference() {
	if (page instanceof Reference)
		return;
	document.title = 'API · longhaul';
	const reference = new Reference(describe);
	show(reference, reference.element);
}

/** Only what has the form of an address of a job becomes a request. */
const JOB = /^\/job\/([a-z0-9][a-z0-9._-]*\/[0-9a-fA-F-]{36})$/;

function route(event) {
	const [path, query = ''] = location.hash.slice(1).split('?');
	const job = JOB.exec(path);
	if (job)
		showJob(job[1]);
	else if (path === '/reference')
		showReference();
	else
		showList(new URLSearchParams(query));
	for (const [id, here] of [['nav-jobs', page === list], ['nav-reference', page instanceof Reference]]) {
		const link = document.getElementById(id);
		if (here)
			link.setAttribute('aria-current', 'page');
		else
			link.removeAttribute('aria-current');
	}
	if (event && page !== list)
		main.focus({ preventScroll: true });
}

// ---- the API ---------------------------------------------------------------------------------------

/** The API's description of itself, read once. */
async function describe() {
	description ??= await json('/openapi.json');
	learnTypes(description);
	return description;
}

function outage(error) {
	const away = error?.away ?? false;
	if (away)
		showOutage(`${error.title}. ${error.detail} What is shown may be out of date.`);
	else if (out)
		showOutage(null);
	if (out && !away) {
		announce('The API answers again');
		page?.refresh?.();
		if (page === list)
			list.load();
	}
	if (away && !out)
		setTimeout(probe, PROBE_MS);
	out = away;
}

/** While the API is away, somebody has to ask whether it is back. */
async function probe() {
	try {
		await json('/v1/jobs?limit=1');
	} catch (error) {
		if (error.away)
			setTimeout(probe, PROBE_MS);
	}
}

function fresh() {
	page?.refresh?.();
	if (page === list)
		list.load();
	overview.stir();
}

function happened(job) {
	list.event(job);
	page?.event?.(job);
	overview.stir();
}

// ---- the start -------------------------------------------------------------------------------------

const onList = () => page === list;
const onJob = () => page instanceof JobPage;

function press(name) {
	const row = list.focusedRow();
	if (onJob())
		page.press(name);
	else if (row && row.what?.toLowerCase() === name)
		row.button.click();
}

shortcut('j', 'Next job of the list', () => list.step(1), onList);
shortcut('k', 'Previous job', () => list.step(-1), onList);
shortcut('c', 'Cancel the job', () => press('cancel'), () => onJob() || list.focusedRow());
shortcut('r', 'Retry the job', () => press('retry'), () => onJob() || list.focusedRow());
shortcut('Delete', 'Delete the job, on its page', () => press('remove'), onJob);
shortcut('f', 'Go to the filters', () => list.chips[0].focus(), onList);
shortcut('p', 'Keep new jobs back, or let them come', () => list.togglePause(), onList);
shortcut('Escape', 'Back to the list', () => { location.hash = lastList; }, () => !onList());

startFrame();
reach.addEventListener('reach', event => outage(event.detail));
window.addEventListener('hashchange', route);
window.addEventListener('offline', () => showLink('lost'));
route();
describe().catch(() => { /* the types of the jobs that are seen have to do */ });
new Stream('/v1/jobs/events?from=now', { onJob: happened, onState: showLink, onFresh: fresh });

setInterval(() => {
	if (document.hidden)
		return;
	page?.tick?.();
	overview.tick();
}, 1000);

