-- What DBAs see of the counts of ended jobs: cheap however many jobs are stored, because no job is read.

CREATE VIEW longhaul.throughput AS
SELECT e.minute, e.type, sum(e.jobs)::bigint AS ended,
       coalesce(sum(e.jobs) FILTER (WHERE e.status = 'Completed'), 0)::bigint AS completed,
       coalesce(sum(e.jobs) FILTER (WHERE e.status = 'Failed'), 0)::bigint AS failed,
       coalesce(sum(e.jobs) FILTER (WHERE e.status = 'Canceled'), 0)::bigint AS canceled,
       sum(e.jobs * e.mean_run) / sum(e.jobs) AS mean_run
  FROM longhaul.ended e
 WHERE e.minute > now() - interval '1 hour'
 GROUP BY e.minute, e.type;
COMMENT ON VIEW longhaul.throughput IS 'Jobs ended per minute and type, in the last hour; ended has 14 days';
COMMENT ON COLUMN longhaul.throughput.minute IS 'the minute in which they ended';
COMMENT ON COLUMN longhaul.throughput.type IS 'job_type.name';
COMMENT ON COLUMN longhaul.throughput.ended IS 'jobs that ended';
COMMENT ON COLUMN longhaul.throughput.completed IS 'of these, Completed';
COMMENT ON COLUMN longhaul.throughput.failed IS 'Failed';
COMMENT ON COLUMN longhaul.throughput.canceled IS 'Canceled';
COMMENT ON COLUMN longhaul.throughput.mean_run IS 'how long their last attempts took, on average';

CREATE VIEW longhaul.types_lately AS
SELECT x.*, round(100.0 * x.failed / x.ended, 1) AS failed_percent
  FROM (SELECT e.type, sum(e.jobs)::bigint AS ended,
               coalesce(sum(e.jobs) FILTER (WHERE e.status = 'Completed'), 0)::bigint AS completed,
               coalesce(sum(e.jobs) FILTER (WHERE e.status = 'Failed'), 0)::bigint AS failed,
               coalesce(sum(e.jobs) FILTER (WHERE e.status = 'Canceled'), 0)::bigint AS canceled,
               sum(e.jobs * e.mean_wait) / sum(e.jobs) AS mean_wait,
               sum(e.jobs * e.mean_run) / sum(e.jobs) AS mean_run
          FROM longhaul.ended e
         WHERE e.minute > now() - interval '1 hour'
         GROUP BY e.type) x;
COMMENT ON VIEW longhaul.types_lately IS 'Types over the last hour: the slowest by ORDER BY mean_run DESC, the most failing by ORDER BY failed_percent DESC';
COMMENT ON COLUMN longhaul.types_lately.type IS 'job_type.name';
COMMENT ON COLUMN longhaul.types_lately.ended IS 'jobs that ended';
COMMENT ON COLUMN longhaul.types_lately.completed IS 'of these, Completed';
COMMENT ON COLUMN longhaul.types_lately.failed IS 'Failed';
COMMENT ON COLUMN longhaul.types_lately.canceled IS 'Canceled';
COMMENT ON COLUMN longhaul.types_lately.mean_wait IS 'how long they waited, on average';
COMMENT ON COLUMN longhaul.types_lately.mean_run IS 'how long their last attempts took, on average';
COMMENT ON COLUMN longhaul.types_lately.failed_percent IS 'how many of a hundred failed';

GRANT SELECT ON longhaul.throughput, longhaul.types_lately TO longhaul_dba;
