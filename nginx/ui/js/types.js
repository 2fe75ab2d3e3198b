// The job types that are known: from the API's description, and from the jobs that were seen.

import { jobPath } from './actions.js';

const SEEN_MAX = 500;
const types = new Map();

export const typesChange = new EventTarget();

export const knownTypes = () => [...types.values()];

function add(name, collection) {
	if (types.has(name) || types.size >= SEEN_MAX)
		return false;
	types.set(name, { name, collection });
	return true;
}

export function learnTypes(description) {
	const listed = Array.isArray(description['x-longhaul-job-types']) ? description['x-longhaul-job-types'] : [];
	const added = listed.filter(t => typeof t?.name === 'string' && typeof t.collection === 'string')
		.map(t => add(t.name, t.collection));
	if (added.includes(true))
		typesChange.dispatchEvent(new Event('change'));
}

export function noteType(job) {
	if (types.has(job.type))
		return;
	const collection = jobPath(job)?.split('/')[2];
	if (collection && add(job.type, decodeURIComponent(collection)))
		typesChange.dispatchEvent(new Event('change'));
}
