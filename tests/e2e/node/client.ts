// A client that compiles only if the types made of openapi.json (by npm's openapi-typescript) are what the
// README says. Nothing of it runs.
import type { components, paths } from './openapi';

type Job = components['schemas']['Job'];
type Submit = paths['/v1/accounts/bulk-import']['post'];

export const accepted: Submit['responses'][202]['content']['application/json'] = {
	jobId: '', type: 'accounts.bulk-import', status: 'Queued', createdTime: '', _links: { self: { href: '' } },
};
export const headers: Submit['parameters']['header'] = { Prefer: 'wait=10', 'Longhaul-Priority': 10 };
export const collection: paths['/v1/{collection}/{jobId}']['get']['parameters']['path']['collection'] = 'import-jobs';

export function describe(job: Job): string {
	switch (job.status) {
	case 'Queued': return `number ${job.queuePosition ?? '?'}`;
	case 'InProgress': return `${job.percentComplete ?? '?'} %, ${job.progress?.message ?? ''}`;
	case 'Completed': return job._links.results?.href ?? '';
	case 'Failed': return job.error?.title ?? '';
	case 'Canceled': return '';
	}
}
