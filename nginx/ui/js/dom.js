// Elements, built without markup: every text of the server goes through textContent or an attribute that
// can't run anything.

const SVG = 'http://www.w3.org/2000/svg';

function set(element, name, value) {
	if (value === undefined || value === null || value === false)
		return;
	if (name.startsWith('on'))
		element.addEventListener(name.slice(2), value);
	else
		element.setAttribute(name, value === true ? '' : value);
}

/** An element. Children are elements or texts; null and false are left out. */
export function h(name, attributes = {}, ...children) {
	const element = document.createElement(name);
	for (const [key, value] of Object.entries(attributes))
		set(element, key, value);
	element.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
	return element;
}

const PATHS = {
	queued: 'M8 4.5V8l2.4 1.6M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8',
	running: 'M5.5 3.6v8.8L12.4 8z',
	done: 'M3 8.6 6.4 12 13 4.6',
	failed: 'M4 4l8 8M12 4l-8 8',
	canceled: 'M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M3.7 3.7l8.6 8.6',
	retry: 'M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3',
	download: 'M8 2v8M4.7 7 8 10.3 11.3 7M3 13.5h10',
	trash: 'M3 4.5h10M6.5 4V2.5h3V4M4.4 4.5l.6 9h6l.6-9',
	back: 'M9.8 3 5 8l4.8 5',
	sun: 'M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.2 1.2M11.8 11.8 13 13M13 3l-1.2 1.2M4.2 11.8 3 13',
	moon: 'M13.5 9.6A6 6 0 0 1 6.4 2.5a6 6 0 1 0 7.1 7.1',
	system: 'M2 3h12v8H2zM6 14h4M8 11v3',
	copy: 'M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3',
	pause: 'M5.5 3.5v9M10.5 3.5v9',
	play: 'M5.5 3.6v8.8L12.4 8z',
};

/** A picture of 16 by 16 that assistive technology passes over. */
export function icon(name) {
	const svg = document.createElementNS(SVG, 'svg');
	const path = document.createElementNS(SVG, 'path');
	svg.setAttribute('viewBox', '0 0 16 16');
	svg.setAttribute('class', 'icon');
	svg.setAttribute('aria-hidden', 'true');
	path.setAttribute('d', PATHS[name]);
	svg.append(path);
	return svg;
}

/** Sets a text, and touches the document only when it is another one. */
export function text(element, value) {
	if (element.textContent !== value)
		element.textContent = value;
}

/** The same for an attribute; null removes it. */
export function attribute(element, name, value) {
	if (value === null || value === undefined)
		element.removeAttribute(name);
	else if (element.getAttribute(name) !== String(value))
		element.setAttribute(name, value);
}

/** A function that runs `work` once with the next frame, however often it is called before. */
export function perFrame(work) {
	let asked = false;
	return () => {
		if (asked)
			return;
		asked = true;
		requestAnimationFrame(() => {
			asked = false;
			work();
		});
	};
}
