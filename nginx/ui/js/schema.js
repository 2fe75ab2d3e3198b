// A JSON schema as a list to read.

import { h } from './dom.js';

const DEPTH = 6;

/** What stands between backquotes is code. */
export function code(words) {
	return words.split('`').map((part, n) => n % 2 ? h('code', {}, part) : part).filter(part => part !== '');
}

/** What a local reference leads to; anything else as it is. */
export function resolve(document, value, depth = 0) {
	if (typeof value?.$ref !== 'string' || !value.$ref.startsWith('#/') || depth > 20)
		return value ?? undefined;
	const found = value.$ref.slice(2).split('/').map(part => decodeURIComponent(part.replaceAll('~1', '/').replaceAll('~0', '~')))
		.reduce((at, part) => at !== null && typeof at === 'object' && Object.hasOwn(at, part) ? at[part] : undefined, document);
	return resolve(document, found, depth + 1);
}

const refName = schema => typeof schema?.$ref === 'string' ? schema.$ref.split('/').pop() : '';

function typeWords(document, schema) {
	const name = refName(schema);
	const whole = resolve(document, schema) ?? {};
	if (name)
		return name;
	if (whole.const !== undefined)
		return JSON.stringify(whole.const);
	for (const [key, between] of [['oneOf', ' | '], ['anyOf', ' | '], ['allOf', ' & ']])
		if (Array.isArray(whole[key]))
			return whole[key].map(one => typeWords(document, one)).join(between);
	const type = Array.isArray(whole.type) ? whole.type.join(' | ') : whole.type;
	if (type === 'array')
		return `array of ${typeWords(document, whole.items ?? {})}`;
	return [type ?? 'any', whole.format && `(${whole.format})`].filter(Boolean).join(' ');
}

const LIMITS = { minimum: '≥', maximum: '≤', minLength: 'length ≥', maxLength: 'length ≤', minItems: 'items ≥', maxItems: 'items ≤', pattern: 'pattern', default: 'default' };

function limits(schema) {
	return Object.entries(LIMITS).filter(([key]) => schema[key] !== undefined).map(([key, words]) => `${words} ${typeof schema[key] === 'object' ? JSON.stringify(schema[key]) : schema[key]}`);
}

/** The schemas of the parts: properties, items, alternatives. */
function parts(document, schema) {
	const whole = resolve(document, schema) ?? {};
	const required = new Set(whole.required ?? []);
	const found = Object.entries(whole.properties ?? {}).map(([name, one]) => [one, { name, required: required.has(name) }]);
	if (whole.items && typeof whole.items === 'object' && hasParts(document, whole.items))
		found.push([whole.items, { note: 'each item' }]);
	for (const key of ['oneOf', 'anyOf', 'allOf'])
		for (const one of whole[key] ?? [])
			found.push([one, { note: key === 'allOf' ? 'and' : 'or' }]);
	if (whole.additionalProperties && typeof whole.additionalProperties === 'object')
		found.push([whole.additionalProperties, { note: 'any other name' }]);
	return found;
}

function hasParts(document, schema) {
	const whole = resolve(document, schema) ?? {};
	return ['properties', 'items', 'oneOf', 'anyOf', 'allOf'].some(key => whole[key]);
}

/** One line of a schema, and below it its parts; those of a reference are built when they are opened. */
export function schemaView(document, schema, { name, required, note, description }, depth = 0) {
	const whole = resolve(document, schema) ?? {};
	const line = h('span', { class: 'schema-line' }, name && h('code', { class: 'name' }, name), ' ', h('span', { class: 'type' }, typeWords(document, schema)),
		required && h('span', { class: 'required' }, ' required'), note && h('span', { class: 'muted' }, ` ${note}`),
		limits(whole).length > 0 && h('span', { class: 'muted' }, ` ${limits(whole).join(', ')}`));
	const words = description ?? whole.description;
	const about = [words && h('p', { class: 'prose' }, code(String(words))),
		Array.isArray(whole.enum) && h('p', { class: 'muted' }, 'one of ', whole.enum.map((v, n) => [n ? ', ' : '', h('code', {}, String(v))]).flat())];
	const below = depth < DEPTH ? parts(document, schema) : [];
	if (below.length === 0)
		return h('li', {}, line, about);
	const list = () => h('ul', { class: 'schema' }, below.map(([one, more]) => schemaView(document, one, more, depth + 1)));
	if (depth === 0 && !name)
		return h('li', {}, line, about, list());
	const folded = h('details', { ontoggle: () => {
		if (folded.open && folded.childElementCount === 1)
			folded.append(list());
	} }, h('summary', {}, line));
	return h('li', {}, folded, about);
}
