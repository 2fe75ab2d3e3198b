// The API's description of itself (OpenAPI 3.1), to read.

import { h, text } from './dom.js';
import { code, resolve, schemaView } from './schema.js';
import { problemBox } from './ui.js';

const METHODS = ['get', 'post', 'put', 'patch', 'delete', 'head', 'options'];

/** Descriptions may be Markdown: paragraphs are kept, the rest is shown as it was written. */
export function prose(words) {
	return typeof words === 'string' && words.trim() ? words.trim().split(/\n\s*\n/).map(part => h('p', { class: 'prose' }, code(part))) : [];
}

export class Reference {
	/** `describe` resolves to the document. */
	constructor(describe) {
		this.describe = describe;
		this.body = h('div', { class: 'reference-body' }, h('p', { class: 'muted' }, 'Reading the description …'));
		this.find = h('input', { type: 'search', id: 'find', placeholder: 'Path, summary or tag', oninput: () => this.filter() });
		this.found = h('span', { class: 'muted', role: 'status' });
		this.title = h('h1', {}, 'API');
		this.element = h('div', { class: 'reference' }, h('div', { class: 'reference-head' }, this.title,
			h('p', { class: 'find' }, h('label', { for: 'find' }, 'Find'), this.find, this.found)), this.body);
		this.load();
	}

	async load() {
		try {
			this.show(await this.describe());
		} catch (error) {
			this.body.replaceChildren(problemBox(error, () => this.load()));
		}
	}

	show(document) {
		this.document = document;
		text(this.title, [document.info?.title, document.info?.version].filter(Boolean).join(' ') || 'API');
		this.operations = [];
		const groups = new Map();
		for (const [path, item] of Object.entries(document.paths ?? {}))
			for (const method of METHODS.filter(m => item?.[m]))
				this.addOperation(groups, path, method, resolve(document, item), item[method]);
		this.body.replaceChildren(
			h('section', { class: 'card' }, h('p', {}, h('a', { class: 'button', href: '/openapi.json', download: 'openapi.json' }, 'Download openapi.json'),
				' ', h('span', { class: 'muted' }, `OpenAPI ${document.openapi ?? ''}`)), prose(document.info?.description)),
			...[...groups].map(([tag, rows]) => this.group(tag, rows)), this.schemas());
		this.filter();
	}

	addOperation(groups, path, method, item, operation) {
		const tag = operation.tags?.[0] ?? 'Operations';
		const element = h('details', { class: 'operation', ontoggle: () => this.open(element, path, item, operation) },
			h('summary', {}, h('span', { class: `method ${method}` }, method.toUpperCase()), h('code', { class: 'path' }, path),
				h('span', { class: 'summary' }, operation.summary ?? '')));
		this.operations.push({ element, words: `${method} ${path} ${operation.summary ?? ''} ${tag}`.toLowerCase() });
		groups.set(tag, [...groups.get(tag) ?? [], element]);
	}

	group(tag, rows) {
		const about = (this.document.tags ?? []).find(t => t.name === tag);
		return h('section', { class: 'card group', 'aria-label': tag }, h('h2', {}, tag), prose(about?.description), rows);
	}

	/** An operation is built when it is opened first. */
	open(element, path, item, operation) {
		if (!element.open || element.dataset.built)
			return;
		element.dataset.built = 'yes';
		const parameters = [...item.parameters ?? [], ...operation.parameters ?? []].map(p => resolve(this.document, p));
		const body = resolve(this.document, operation.requestBody);
		element.append(h('div', { class: 'operation-body' }, prose(operation.description),
			parameters.length > 0 && [h('h3', {}, 'Parameters'), h('ul', { class: 'schema' }, parameters.map(p => this.parameter(p)))],
			body && [h('h3', {}, 'Request body'), prose(body.description), this.content(body.content)],
			h('h3', {}, 'Answers'), Object.entries(operation.responses ?? {}).map(([status, answer]) => this.answer(status, resolve(this.document, answer)))));
	}

	parameter(p) {
		return schemaView(this.document, p.schema ?? {}, { name: p.name, required: p.required, note: `in ${p.in}`, description: p.description });
	}

	answer(status, answer) {
		const headers = Object.entries(answer?.headers ?? {});
		return h('div', { class: 'answer' },
			h('p', {}, h('strong', { class: `code-${String(status)[0]}` }, status), ' ', code(answer?.description ?? '')),
			headers.length > 0 && h('ul', { class: 'schema' }, headers.map(([name, header]) => {
				const whole = resolve(this.document, header);
				return schemaView(this.document, whole.schema ?? {}, { name, note: 'header', description: whole.description });
			})),
			this.content(answer?.content));
	}

	content(content) {
		return Object.entries(content ?? {}).map(([type, media]) => h('div', { class: 'media' }, h('code', { class: 'muted' }, type),
			media.schema && h('ul', { class: 'schema' }, schemaView(this.document, media.schema, {}))));
	}

	schemas() {
		const all = Object.entries(this.document.components?.schemas ?? {});
		return h('section', { class: 'card group', 'aria-label': 'Schemas', hidden: all.length === 0 }, h('h2', {}, 'Schemas'),
			all.map(([name, schema]) => {
				const element = h('details', { class: 'operation', ontoggle: () => {
					if (element.open && element.childElementCount === 1)
						element.append(h('div', { class: 'operation-body' }, h('ul', { class: 'schema' }, schemaView(this.document, schema, {}))));
				} }, h('summary', {}, h('code', {}, name), h('span', { class: 'summary' }, schema.title ?? '')));
				return element;
			}));
	}

	filter() {
		if (!this.operations)
			return;
		const wanted = this.find.value.toLowerCase().split(/\s+/).filter(Boolean);
		let n = 0;
		for (const { element, words } of this.operations) {
			element.hidden = !wanted.every(one => words.includes(one));
			n += !element.hidden;
		}
		for (const group of this.body.querySelectorAll('.group'))
			group.classList.toggle('none', ![...group.querySelectorAll('.operation')].some(o => !o.hidden));
		text(this.found, wanted.length ? `${n} of ${this.operations.length}` : '');
	}
}
