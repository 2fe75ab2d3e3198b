// Times, durations and sizes in words.

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const hour = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const whole = new Intl.NumberFormat();

// How far the server's clock is ahead of ours, in ms: countdowns are to its times.
let ahead = 0;

/** Learns the server's clock from the Date of an answer, which has whole seconds. */
export function serverDate(header) {
	const at = Date.parse(header ?? '');
	if (Number.isNaN(at))
		return;
	const difference = at + 500 - Date.now();
	ahead = Math.abs(difference) < 2000 ? 0 : difference;
}

export const now = () => Date.now() + ahead;
export const number = n => whole.format(n);
export const absolute = time => clock.format(new Date(time));
export const minute = ms => hour.format(new Date(ms));

/** "4 min 05 s": two units at most. */
export function duration(ms) {
	const s = Math.max(0, Math.round(ms / 1000));
	const two = n => String(n).padStart(2, '0');
	if (ms < 1000)
		return ms >= 1 ? `${Math.round(ms)} ms` : '0 s';
	if (s < 60)
		return ms < 10000 ? `${(ms / 1000).toFixed(1)} s` : `${s} s`;
	if (s < 3600)
		return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
	if (s < 86400)
		return `${Math.floor(s / 3600)} h ${two(Math.floor(s % 3600 / 60))} min`;
	return `${Math.floor(s / 86400)} d ${two(Math.floor(s % 86400 / 3600))} h`;
}

/** The same in whole seconds, for what counts. */
export const seconds = ms => duration(ms < 60000 ? Math.max(0, Math.round(ms / 1000)) * 1000 || 0 : ms).replace('.0', '');

/** "12 s ago", "3 min ago", "2 h ago", then the day. */
export function ago(time) {
	const s = Math.round((now() - Date.parse(time)) / 1000);
	if (s < 2)
		return 'just now';
	if (s < 60)
		return `${s} s ago`;
	if (s < 3600)
		return `${Math.floor(s / 60)} min ago`;
	if (s < 86400)
		return `${Math.floor(s / 3600)} h ago`;
	return `${Math.floor(s / 86400)} d ago`;
}

/** "in 1 min 20 s"; what is overdue can come at any moment. */
export function until(time) {
	const ms = Date.parse(time) - now();
	return ms < 500 ? 'any moment' : `in ${seconds(ms)}`;
}

export function bytes(n) {
	const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
	let unit = 0;
	for (; n >= 1024 && unit < units.length - 1; unit++)
		n /= 1024;
	return unit === 0 ? `${number(n)} ${n === 1 ? 'byte' : 'bytes'}` : `${n.toFixed(n < 10 ? 1 : 0)} ${units[unit]}`;
}

/** The end of an id, where ids of one moment differ. */
export const shortId = id => `…${String(id).slice(-12)}`;
