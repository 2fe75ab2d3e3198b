// What can be done to a job.

import { json, localPath } from './api.js';
import { shortId } from './format.js';
import { confirm, toast, toastError } from './ui.js';

const LIVE = new Set(['Queued', 'InProgress']);

export const isLive = job => LIVE.has(job.status);
export const jobPath = job => localPath(job._links?.self?.href ?? '');

/** The address of a job's page. */
export function pageOf(job) {
	const path = jobPath(job);
	return path ? `#/job/${path.slice('/v1/'.length)}` : '#/';
}

export const canCancel = isLive;
export const canRetry = job => job.status === 'Failed' || job.status === 'Canceled';
export const canDelete = job => !isLive(job);

async function attempt(what, work) {
	try {
		return await work();
	} catch (error) {
		toastError(what, error);
		return undefined;
	}
}

/** Each returns the job's new document, null if it is gone, or undefined if nothing was done. */
export async function cancel(job) {
	const running = job.status === 'InProgress';
	const sure = await confirm({
		title: 'Cancel this job?', yes: 'Cancel the job', danger: true,
		body: `${job.type} ${shortId(job.jobId)} ${running ? 'is running: it is told to stop, and what it has done so far may be lost.'
			: 'has not begun yet.'}`,
	});
	if (!sure)
		return undefined;
	return attempt('The job was not canceled', async () => {
		const now = await json(`${jobPath(job)}/cancel`, { method: 'POST' });
		toast(now?.status === 'Canceled' ? 'The job is canceled' : 'The job is told to stop');
		return now;
	});
}

export function retry(job) {
	return attempt('The job was not queued again', async () => {
		const now = await json(`${jobPath(job)}/retry`, { method: 'POST' });
		toast('The job is queued again');
		return now;
	});
}

export async function remove(job) {
	const sure = await confirm({
		title: 'Delete this job?', yes: 'Delete the job', danger: true,
		body: `${job.type} ${shortId(job.jobId)}: the job, its input and its result are removed for good.`,
	});
	if (!sure)
		return undefined;
	return attempt('The job was not deleted', async () => {
		await json(jobPath(job), { method: 'DELETE' });
		toast('The job is deleted');
		return null;
	});
}
