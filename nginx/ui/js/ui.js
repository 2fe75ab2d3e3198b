// What all views share: notices, questions, announcements, the theme, the keyboard.

import { h, icon, text } from './dom.js';

const TOAST_MS = 6000;
const TOASTS_MAX = 4;
const ANNOUNCE_MS = 3000;

const byId = id => document.getElementById(id);

export const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');

// ---- stored choices ------------------------------------------------------------------------------

export function recall(name, otherwise) {
	try {
		return localStorage.getItem(`longhaul.${name}`) ?? otherwise;
	} catch {
		return otherwise;
	}
}

export function remember(name, value) {
	try {
		if (value === null)
			localStorage.removeItem(`longhaul.${name}`);
		else
			localStorage.setItem(`longhaul.${name}`, value);
	} catch {
		// Storage is switched off: the choice holds until the page is left.
	}
}

// ---- notices -------------------------------------------------------------------------------------

/** A short notice that goes by itself; one of an error stays until it is closed. */
export function toast(title, detail = '', isError = false) {
	const box = byId('toasts');
	const close = h('button', { type: 'button', class: 'plain', 'aria-label': 'Close this notice' }, icon('failed'));
	const note = h('div', { class: isError ? 'toast bad' : 'toast', role: isError ? 'alert' : 'status' },
		h('div', {}, h('strong', {}, title), detail && h('p', {}, detail)), close);
	close.addEventListener('click', () => note.remove());
	while (box.childElementCount >= TOASTS_MAX)
		box.firstElementChild.remove();
	box.append(note);
	if (!isError)
		setTimeout(() => note.remove(), TOAST_MS);
}

export const toastError = (title, error) =>
	toast(title, [error.title ?? String(error), error.detail].filter(Boolean).join('. '), true);

/** A problem in the flow of the page, with a button that tries again. */
export function problemBox(error, again) {
	return h('div', { class: 'problem', role: 'alert' },
		h('strong', {}, error.title ?? 'Something went wrong'),
		h('p', {}, error.detail || String(error.message ?? '')),
		error.status === 401 && h('p', {}, 'Reload the page to sign in.'),
		again && h('button', { type: 'button', onclick: again }, icon('retry'), 'Try again'));
}

// ---- announcements -------------------------------------------------------------------------------

const waiting = new Map();
let announceTimer = 0;

function announceNow() {
	announceTimer = 0;
	const parts = [...waiting].map(([what, n]) => n === null ? what : `${n} ${n === 1 ? 'job' : 'jobs'} ${what}`);
	waiting.clear();
	byId('announce').replaceChildren(h('p', {}, parts.join(', ')));
}

function announceSoon() {
	announceTimer ||= setTimeout(announceNow, ANNOUNCE_MS);
}

/** Says to who can't see it that a job `what` ("completed"): sums, every few seconds, however many there are. */
export function count(what) {
	waiting.set(what, (waiting.get(what) ?? 0) + 1);
	announceSoon();
}

export function announce(sentence) {
	waiting.set(sentence, null);
	announceSoon();
}

// ---- questions -----------------------------------------------------------------------------------

/** Asks in a dialogue; true if it was confirmed. The focus goes back where it was. */
export function confirm({ title, body, yes, danger = false }) {
	const no = h('button', { type: 'button', value: 'no' }, 'Keep it');
	const ok = h('button', { type: 'button', class: danger ? 'danger' : 'primary' }, yes);
	const dialog = h('dialog', { class: 'ask', 'aria-labelledby': 'ask-title', 'aria-describedby': 'ask-body' },
		h('h2', { id: 'ask-title' }, title), h('p', { id: 'ask-body' }, body), h('div', { class: 'buttons' }, no, ok));
	return new Promise(resolve => {
		no.addEventListener('click', () => dialog.close('no'));
		ok.addEventListener('click', () => dialog.close('yes'));
		dialog.addEventListener('close', () => {
			dialog.remove();
			resolve(dialog.returnValue === 'yes');
		});
		document.body.append(dialog);
		dialog.showModal();
		no.focus();
	});
}

// ---- the theme -----------------------------------------------------------------------------------

const THEMES = { system: 'Theme: as the system', light: 'Theme: light', dark: 'Theme: dark' };
const THEME_ICONS = { system: 'system', light: 'sun', dark: 'moon' };

export const themeChanges = new EventTarget();

const theme = () => document.documentElement.dataset.theme ?? 'system';

function showTheme() {
	const button = byId('theme');
	button.replaceChildren(icon(THEME_ICONS[theme()]));
	button.setAttribute('aria-label', `${THEMES[theme()]}. Change it`);
	button.title = `${THEMES[theme()]} (t)`;
	themeChanges.dispatchEvent(new Event('change'));
}

export function nextTheme() {
	const names = Object.keys(THEMES);
	const next = names[(names.indexOf(theme()) + 1) % names.length];
	if (next === 'system')
		delete document.documentElement.dataset.theme;
	else
		document.documentElement.dataset.theme = next;
	remember('theme', next === 'system' ? null : next);
	showTheme();
}

// ---- the keyboard --------------------------------------------------------------------------------

const shortcuts = [];

/** A key that does something while `when()` holds; all are listed in the help. */
export function shortcut(key, what, run, when = () => true) {
	shortcuts.push({ key, what, run, when });
}

const keysOn = () => recall('keys', 'on') === 'on';
const typing = target => target.closest?.('input, select, textarea, [contenteditable]');

function pressed(event) {
	if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector('dialog[open]'))
		return;
	if (event.key !== 'Escape' && (typing(event.target) || !keysOn()))
		return;
	const found = shortcuts.find(s => s.key === event.key && s.when(event));
	if (!found)
		return;
	event.preventDefault();
	found.run(event);
}

const KEY_NAMES = { Escape: 'Esc', Delete: 'Del' };

export function showShortcuts() {
	const on = h('input', { type: 'checkbox', id: 'keys-on' });
	const close = h('button', { type: 'button', class: 'primary' }, 'Close');
	const listed = new Map(shortcuts.map(s => [s.key, s.what]));
	const dialog = h('dialog', { class: 'ask', 'aria-labelledby': 'keys-title' },
		h('h2', { id: 'keys-title' }, 'Keyboard shortcuts'),
		h('dl', { class: 'keys' }, [...listed].map(([key, what]) =>
			h('div', {}, h('dt', {}, h('kbd', {}, KEY_NAMES[key] ?? key)), h('dd', {}, what)))),
		h('p', {}, h('label', {}, on, ' Single keys are shortcuts')),
		h('div', { class: 'buttons' }, close));
	on.checked = keysOn();
	on.addEventListener('change', () => remember('keys', on.checked ? null : 'off'));
	close.addEventListener('click', () => dialog.close());
	dialog.addEventListener('close', () => dialog.remove());
	document.body.append(dialog);
	dialog.showModal();
	close.focus();
}

// ---- the frame of the page -----------------------------------------------------------------------

const STATES = { live: 'Live', connecting: 'Connecting', lost: 'Disconnected' };

export function showLink(state) {
	byId('link-state').dataset.state = state;
	text(byId('link-word'), STATES[state]);
}

/** The bar that says that the API is away; null takes it away again. */
export function showOutage(sentence) {
	const bar = byId('outage');
	bar.hidden = sentence === null;
	if (sentence !== null)
		text(bar, sentence);
}

export function startFrame() {
	showTheme();
	byId('theme').addEventListener('click', nextTheme);
	matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showTheme);
	for (const id of ['keys', 'keys-narrow'])
		byId(id).addEventListener('click', showShortcuts);
	byId('skip').addEventListener('click', () => byId('main').focus());
	document.addEventListener('keydown', pressed);
	shortcut('?', 'Show this list', showShortcuts);
	shortcut('t', 'Change the theme', nextTheme);
}
