-- Jobs that are worth nothing unless they are started by a time.

CREATE TABLE longhaul.job_deadline (
    job_id   uuid PRIMARY KEY,
    start_by timestamptz NOT NULL
);
CREATE INDEX job_deadline_due ON longhaul.job_deadline (start_by);
COMMENT ON TABLE longhaul.job_deadline IS 'Jobs that fail if no worker has them by a time';
COMMENT ON COLUMN longhaul.job_deadline.job_id IS 'job.id';
COMMENT ON COLUMN longhaul.job_deadline.start_by IS 'when the job fails if it still waits then';
GRANT SELECT ON longhaul.job_deadline TO longhaul_dba;
