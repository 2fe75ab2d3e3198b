-- Roles, schema and tables.
--
-- A job's way through the tables:
--   submit   inserts job (never updated afterwards) and ready or delayed
--   claim    deletes from ready, inserts lease
--   progress updates lease
--   finish   deletes from lease, inserts outcome
-- So the history (job, outcome) only ever grows at its end and is dropped by the day, and what
-- changes all the time (ready, lease, delayed) stays small.

DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['longhaul_api', 'longhaul_worker', 'longhaul_import', 'longhaul_submit', 'longhaul_dba'] LOOP
        -- Roles belong to the cluster. Who may not make any can still use those that are there.
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = r);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', r);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- the migration of another database was faster
        END;
    END LOOP;
END
$$;

CREATE SCHEMA IF NOT EXISTS longhaul;
COMMENT ON SCHEMA longhaul IS 'Long-running jobs for HTTP APIs. Start with the views: jobs, running, queue_depth, workers, stuck.';

-- ---------------------------------------------------------------------------------------------
-- What can be asked for, and by whom
-- ---------------------------------------------------------------------------------------------

CREATE TABLE longhaul.job_type (
    type_id             integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                text COLLATE "C" NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    submit_path         text COLLATE "C" NOT NULL UNIQUE CHECK (submit_path ~ '^(/[a-z0-9][a-z0-9._-]{0,63}){1,6}$'),
    collection          text COLLATE "C" NOT NULL UNIQUE CHECK (collection ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    description         text NOT NULL DEFAULT '',
    media_types         text[] NOT NULL DEFAULT '{application/json}' CHECK (cardinality(media_types) BETWEEN 1 AND 20),
    max_input_bytes     bigint NOT NULL DEFAULT 104857600 CHECK (max_input_bytes BETWEEN 0 AND 1099511627776),
    wait_ms             integer NOT NULL DEFAULT 50 CHECK (wait_ms BETWEEN 0 AND 55000),
    poll_min_ms         integer NOT NULL DEFAULT 1000 CHECK (poll_min_ms BETWEEN 100 AND 3600000),
    poll_max_ms         integer NOT NULL DEFAULT 60000 CHECK (poll_max_ms BETWEEN 100 AND 3600000),
    default_estimate_ms integer CHECK (default_estimate_ms > 0),
    max_queued          bigint CHECK (max_queued > 0),
    max_attempts        integer NOT NULL DEFAULT 3 CHECK (max_attempts BETWEEN 1 AND 1000),
    backoff_ms          bigint NOT NULL DEFAULT 1000 CHECK (backoff_ms BETWEEN 1 AND 86400000),
    backoff_max_ms      bigint NOT NULL DEFAULT 300000 CHECK (backoff_max_ms BETWEEN 1 AND 86400000),
    timeout_ms          integer CHECK (timeout_ms > 0),
    retention           interval NOT NULL DEFAULT '7 days' CHECK (retention >= '1 second' AND retention <= '3660 days'),
    lifetime            interval NOT NULL DEFAULT '30 days' CHECK (lifetime >= '1 second' AND lifetime <= '3660 days'),
    paused              boolean NOT NULL DEFAULT false,
    paused_since        timestamptz,
    paused_reason       text,
    max_running         integer CHECK (max_running > 0),
    rate_limit          integer CHECK (rate_limit > 0),
    rate_period         interval NOT NULL DEFAULT '1 second' CHECK (rate_period >= '1 millisecond' AND rate_period <= '31 days'),
    ageing              interval CHECK (ageing >= '1 millisecond'),
    log_for_clients     boolean NOT NULL DEFAULT false,
    CHECK (poll_min_ms <= poll_max_ms),
    CHECK (split_part(submit_path, '/', 2) NOT IN ('jobs', 'operations', 'webhooks')),
    CHECK (collection NOT IN ('jobs', 'operations', 'webhooks'))
);
COMMENT ON TABLE longhaul.job_type IS 'What can be asked for: one row per kind of job. Edit it freely; API and workers notice within seconds.';
COMMENT ON COLUMN longhaul.job_type.type_id IS 'number of the type, in all tables';
COMMENT ON COLUMN longhaul.job_type.description IS 'for people; shown in the API''s own description';
COMMENT ON COLUMN longhaul.job_type.name IS 'Name on the wire and in the worker''s configuration: [type NAME]';
COMMENT ON COLUMN longhaul.job_type.submit_path IS 'POST /v1 followed by this submits a job';
COMMENT ON COLUMN longhaul.job_type.collection IS 'jobs of this type are found under /v1/COLLECTION/ID';
COMMENT ON COLUMN longhaul.job_type.media_types IS 'accepted Content-Types; */* accepts any';
COMMENT ON COLUMN longhaul.job_type.max_input_bytes IS 'larger inputs are refused with 413';
COMMENT ON COLUMN longhaul.job_type.wait_ms IS 'a submit waits this long for the result before it answers 202';
COMMENT ON COLUMN longhaul.job_type.poll_min_ms IS 'clients are never asked to poll more often than this';
COMMENT ON COLUMN longhaul.job_type.poll_max_ms IS 'clients are asked to poll at least this often';
COMMENT ON COLUMN longhaul.job_type.default_estimate_ms IS 'how long a job usually takes, until there is a history';
COMMENT ON COLUMN longhaul.job_type.max_queued IS 'submits are refused (queue-full) when about this many wait; NULL = no limit';
COMMENT ON COLUMN longhaul.job_type.max_attempts IS 'attempts before a job that fails temporarily has failed';
COMMENT ON COLUMN longhaul.job_type.backoff_ms IS 'wait before the second attempt; doubles each time, with jitter';
COMMENT ON COLUMN longhaul.job_type.backoff_max_ms IS 'upper bound of the wait between attempts';
COMMENT ON COLUMN longhaul.job_type.timeout_ms IS 'a handler that runs longer is stopped and the job has failed; NULL = the worker''s setting';
COMMENT ON COLUMN longhaul.job_type.retention IS 'how long an ended job and its result are kept';
COMMENT ON COLUMN longhaul.job_type.lifetime IS 'a job that has not ended by then has failed (expired)';
COMMENT ON COLUMN longhaul.job_type.paused IS 'true: jobs are accepted but none is claimed; see pause_type() and resume_type()';
COMMENT ON COLUMN longhaul.job_type.paused_since IS 'since when; kept by the database';
COMMENT ON COLUMN longhaul.job_type.paused_reason IS 'why, for people; goes when it is resumed';
COMMENT ON COLUMN longhaul.job_type.max_running IS 'most jobs that all workers together may hold at a time; NULL = as many as they have slots';
COMMENT ON COLUMN longhaul.job_type.rate_limit IS 'most jobs begun per rate_period, by all workers together; so many may begin at once, then evenly; NULL = no limit';
COMMENT ON COLUMN longhaul.job_type.rate_period IS 'what rate_limit is per';
COMMENT ON COLUMN longhaul.job_type.log_for_clients IS 'true: a job''s client may read what its attempts wrote to stderr (GET …/log)';
COMMENT ON COLUMN longhaul.job_type.ageing IS 'a job that has waited so long counts as one priority higher, and so on; NULL = priorities are strict';

CREATE TABLE longhaul.client (
    name        text COLLATE "C" PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    created_at  timestamptz NOT NULL DEFAULT now(),
    note        text NOT NULL DEFAULT '',
    disabled_at timestamptz
);
COMMENT ON TABLE longhaul.client IS 'Clients that have API keys. Clients that nginx names need no row.';
COMMENT ON COLUMN longhaul.client.name IS 'who the client is, as it stands in job.client';
COMMENT ON COLUMN longhaul.client.created_at IS 'when it was entered';
COMMENT ON COLUMN longhaul.client.note IS 'for people';
COMMENT ON COLUMN longhaul.client.disabled_at IS 'from then on none of its keys is accepted; NULL = they are';

CREATE TABLE longhaul.api_key (
    sha256     bytea PRIMARY KEY CHECK (length(sha256) = 32),
    client     text COLLATE "C" NOT NULL REFERENCES longhaul.client,
    label      text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
COMMENT ON TABLE longhaul.api_key IS 'API keys by their SHA-256; the key itself is shown once by create_api_key() and stored nowhere';
COMMENT ON COLUMN longhaul.api_key.sha256 IS 'SHA-256 of the key';
COMMENT ON COLUMN longhaul.api_key.client IS 'who the key makes its bearer';
COMMENT ON COLUMN longhaul.api_key.label IS 'for people: which of the client''s keys this is';
COMMENT ON COLUMN longhaul.api_key.created_at IS 'when it was made';
COMMENT ON COLUMN longhaul.api_key.revoked_at IS 'from then on the key is refused; NULL = it is good';

-- ---------------------------------------------------------------------------------------------
-- History: partitioned by day, insert-only
-- ---------------------------------------------------------------------------------------------

CREATE TABLE longhaul.job (
    id          uuid NOT NULL,
    type_id     integer NOT NULL,
    client      text COLLATE "C" NOT NULL,
    priority    smallint NOT NULL,
    input_size  bigint NOT NULL,
    seq         bigint NOT NULL,
    arrival     bigint NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL,
    run_at      timestamptz,
    fingerprint bytea NOT NULL,
    media_type  text NOT NULL,
    request_id  text,
    traceparent text,
    input       bytea COMPRESSION lz4,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX job_client ON longhaul.job (client, id);
-- What a client has submitted lately: see feed_changes.
CREATE INDEX job_client_arrival ON longhaul.job (client, arrival);
COMMENT ON TABLE longhaul.job IS 'One row per accepted request; never updated. Where it stands: outcome if it ended, else lease if it was claimed, else it waits.';
COMMENT ON COLUMN longhaul.job.type_id IS 'job_type.type_id';
COMMENT ON COLUMN longhaul.job.client IS 'who asked; nobody else sees the job';
COMMENT ON COLUMN longhaul.job.priority IS '-100 to 100, high first';
COMMENT ON COLUMN longhaul.job.input_size IS 'bytes of the input';
COMMENT ON COLUMN longhaul.job.created_at IS 'when it was accepted, by the database''s clock';
COMMENT ON COLUMN longhaul.job.media_type IS 'Content-Type of the input';
COMMENT ON COLUMN longhaul.job.request_id IS 'request id of the HTTP server, for its log';
COMMENT ON COLUMN longhaul.job.traceparent IS 'W3C trace context of the request';
COMMENT ON COLUMN longhaul.job.id IS 'UUIDv7: begins with the time of the request, which is also the partition key';
COMMENT ON COLUMN longhaul.job.seq IS 'place in the queue: claims go by priority, then seq. Its high bits (seq >> 16) are the turn that its client had, the low ones the order of arrival';
COMMENT ON COLUMN longhaul.job.arrival IS 'number in the order in which jobs were submitted, of all types and clients';
COMMENT ON COLUMN longhaul.job.run_at IS 'not before this time; NULL = at once';
COMMENT ON COLUMN longhaul.job.fingerprint IS 'SHA-256 of what was asked (headers that matter and body): tells a repeat from another request';
COMMENT ON COLUMN longhaul.job.input IS 'the input if it is small; NULL = in input_chunk';

CREATE TABLE longhaul.outcome (
    job_id            uuid NOT NULL,
    status            smallint NOT NULL CHECK (status IN (3, 4, 5)),
    attempt           integer NOT NULL,
    gen               integer NOT NULL,
    result_gen        integer,
    started_at        timestamptz,
    ended_at          timestamptz NOT NULL,
    expires_at        timestamptz NOT NULL,
    boot              uuid,
    fence             bigint,
    done              bigint,
    total             bigint,
    result_size       bigint,
    message           text,
    result_media_type text,
    error             jsonb,
    result            bytea COMPRESSION lz4,
    PRIMARY KEY (job_id)
) PARTITION BY RANGE (job_id);
-- Costs an insert next to nothing; finds what has expired, and what ended lately, without reading everything.
CREATE INDEX outcome_expires ON longhaul.outcome USING brin (expires_at, ended_at) WITH (autosummarize = on, pages_per_range = 16);
COMMENT ON TABLE longhaul.outcome IS 'How a job ended: one row per ended job (a retry removes it again)';
COMMENT ON COLUMN longhaul.outcome.job_id IS 'job.id';
COMMENT ON COLUMN longhaul.outcome.attempt IS 'attempts that were made';
COMMENT ON COLUMN longhaul.outcome.started_at IS 'when the last attempt began; NULL = none did';
COMMENT ON COLUMN longhaul.outcome.ended_at IS 'when the job ended';
COMMENT ON COLUMN longhaul.outcome.expires_at IS 'when job, input and result are removed';
COMMENT ON COLUMN longhaul.outcome.fence IS 'number of the claim that ended it; see boot';
COMMENT ON COLUMN longhaul.outcome.done IS 'progress at the end: how much of total';
COMMENT ON COLUMN longhaul.outcome.total IS 'progress at the end: of how much';
COMMENT ON COLUMN longhaul.outcome.result_size IS 'bytes of the result';
COMMENT ON COLUMN longhaul.outcome.message IS 'progress at the end, in words';
COMMENT ON COLUMN longhaul.outcome.result_media_type IS 'Content-Type of the result';
COMMENT ON COLUMN longhaul.outcome.status IS '3 Completed, 4 Failed, 5 Canceled';
COMMENT ON COLUMN longhaul.outcome.gen IS 'generation: grows with each claim, requeue and end; high word of the version that clients see';
COMMENT ON COLUMN longhaul.outcome.result_gen IS 'generation whose chunks in result_chunk are the result';
COMMENT ON COLUMN longhaul.outcome.boot IS 'the worker that ended it, with fence: so that a finish sent twice is recognised';
COMMENT ON COLUMN longhaul.outcome.error IS 'problem details (RFC 9457) of a job that failed';
COMMENT ON COLUMN longhaul.outcome.result IS 'the result if it is small; NULL with result_size > 0 = in result_chunk';

CREATE TABLE longhaul.input_chunk (
    job_id uuid NOT NULL,
    seq    integer NOT NULL,
    data   bytea COMPRESSION lz4 NOT NULL,
    PRIMARY KEY (job_id, seq)
) PARTITION BY RANGE (job_id);
COMMENT ON TABLE longhaul.input_chunk IS 'Large inputs in pieces of 262144 bytes (the last may be shorter)';
COMMENT ON COLUMN longhaul.input_chunk.job_id IS 'job.id';
COMMENT ON COLUMN longhaul.input_chunk.seq IS 'place of the piece, from 0';
COMMENT ON COLUMN longhaul.input_chunk.data IS 'the piece';

CREATE TABLE longhaul.result_chunk (
    job_id uuid NOT NULL,
    gen    integer NOT NULL,
    seq    integer NOT NULL,
    data   bytea COMPRESSION lz4 NOT NULL,
    PRIMARY KEY (job_id, gen, seq)
) PARTITION BY RANGE (job_id);
COMMENT ON TABLE longhaul.result_chunk IS 'Large results in pieces of 262144 bytes (the last may be shorter), per generation: a repeated attempt writes its own';
COMMENT ON COLUMN longhaul.result_chunk.job_id IS 'job.id';
COMMENT ON COLUMN longhaul.result_chunk.gen IS 'generation of the attempt that wrote it; outcome.result_gen says which counts';
COMMENT ON COLUMN longhaul.result_chunk.seq IS 'place of the piece, from 0';
COMMENT ON COLUMN longhaul.result_chunk.data IS 'the piece';

-- ---------------------------------------------------------------------------------------------
-- The hot part: small, changing all the time
-- ---------------------------------------------------------------------------------------------

CREATE SEQUENCE longhaul.ready_seq AS bigint;
COMMENT ON SEQUENCE longhaul.ready_seq IS 'numbers the jobs as they arrive: orders those of one turn';

CREATE TABLE longhaul.ready (
    type_id  integer NOT NULL,
    priority smallint NOT NULL,
    gen      integer NOT NULL,
    attempt  integer NOT NULL,
    seq      bigint NOT NULL,
    waiter   bigint,
    due_at   timestamptz,
    job_id   uuid NOT NULL,
    client   text COLLATE "C"
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 100000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ready_order ON longhaul.ready (type_id, priority DESC, seq);
COMMENT ON TABLE longhaul.ready IS 'Jobs that can run now. A claim deletes the row; claims go by type, priority (high first), seq.';
COMMENT ON COLUMN longhaul.ready.type_id IS 'job_type.type_id';
COMMENT ON COLUMN longhaul.ready.priority IS 'job.priority';
COMMENT ON COLUMN longhaul.ready.gen IS 'generation: 1 = never claimed';
COMMENT ON COLUMN longhaul.ready.job_id IS 'job.id';
COMMENT ON COLUMN longhaul.ready.seq IS 'job.seq for a first attempt; job.seq - 2^62 for a job put back, so that it comes before all others of its priority';
COMMENT ON COLUMN longhaul.ready.attempt IS 'attempts already burned';
COMMENT ON COLUMN longhaul.ready.waiter IS 'API process whose client waits for the result, if any';
COMMENT ON COLUMN longhaul.ready.client IS 'job.client of a job that was never claimed; of others lease has it';
COMMENT ON COLUMN longhaul.ready.due_at IS 'since when a job that was never claimed could have been; of others lease has it';

CREATE TABLE longhaul.delayed (
    job_id   uuid PRIMARY KEY,
    run_at   timestamptz NOT NULL,
    type_id  integer NOT NULL,
    priority smallint NOT NULL,
    gen      integer NOT NULL,
    attempt  integer NOT NULL,
    seq      bigint NOT NULL,
    client   text COLLATE "C"
);
CREATE INDEX delayed_due ON longhaul.delayed (run_at);
COMMENT ON TABLE longhaul.delayed IS 'Jobs that wait for a time: Longhaul-Run-At, or the backoff between attempts. Workers move them to ready when due.';
COMMENT ON COLUMN longhaul.delayed.job_id IS 'job.id';
COMMENT ON COLUMN longhaul.delayed.run_at IS 'when it is moved to ready';
COMMENT ON COLUMN longhaul.delayed.type_id IS 'job_type.type_id';
COMMENT ON COLUMN longhaul.delayed.priority IS 'job.priority';
COMMENT ON COLUMN longhaul.delayed.gen IS 'generation: 1 = never claimed';
COMMENT ON COLUMN longhaul.delayed.attempt IS 'attempts already burned';
COMMENT ON COLUMN longhaul.delayed.client IS 'job.client if it was never claimed: its turn comes when its time does; NULL = it is put back before all others';
COMMENT ON COLUMN longhaul.delayed.seq IS 'as in ready; drawn anew when its time comes if it was never claimed';

CREATE TABLE longhaul.lease (
    job_id       uuid PRIMARY KEY,
    boot         uuid,
    fence        bigint,
    type_id      integer NOT NULL,
    priority     smallint NOT NULL,
    deaths       smallint NOT NULL DEFAULT 0,
    host_deaths  smallint NOT NULL DEFAULT 0,
    limited      boolean NOT NULL DEFAULT false,
    gen          integer NOT NULL,
    attempt      integer NOT NULL,
    attempt_base integer NOT NULL DEFAULT 0,
    change       integer NOT NULL DEFAULT 0,
    seq          bigint NOT NULL,
    claimed_at   timestamptz,
    started_at   timestamptz,
    progress_at  timestamptz,
    changed_at   timestamptz,
    done         bigint,
    total        bigint,
    waiter       bigint,
    due_at       timestamptz,
    message      text,
    client       text COLLATE "C"
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 100000, autovacuum_vacuum_cost_delay = 0);
-- Few rows, and none unless a type has a limit.
CREATE INDEX lease_limited ON longhaul.lease (type_id) WHERE limited;
COMMENT ON TABLE longhaul.lease IS 'Jobs that have been claimed and have not ended. boot and fence name the one claim that may write; boot NULL = put back, waiting for its next attempt.';
COMMENT ON COLUMN longhaul.lease.job_id IS 'job.id';
COMMENT ON COLUMN longhaul.lease.type_id IS 'job_type.type_id';
COMMENT ON COLUMN longhaul.lease.priority IS 'job.priority';
COMMENT ON COLUMN longhaul.lease.gen IS 'generation: grows with each claim and requeue; high word of the version that clients see';
COMMENT ON COLUMN longhaul.lease.seq IS 'place in the queue, kept over attempts';
COMMENT ON COLUMN longhaul.lease.claimed_at IS 'when it was claimed';
COMMENT ON COLUMN longhaul.lease.progress_at IS 'when progress was last told';
COMMENT ON COLUMN longhaul.lease.changed_at IS 'when a client could last see a change; NULL = none since it was claimed';
COMMENT ON COLUMN longhaul.lease.done IS 'progress: how much of total';
COMMENT ON COLUMN longhaul.lease.total IS 'progress: of how much';
COMMENT ON COLUMN longhaul.lease.waiter IS 'API process whose client waits for the result, if any';
COMMENT ON COLUMN longhaul.lease.message IS 'progress in words';
COMMENT ON COLUMN longhaul.lease.client IS 'job.client, so that an end is counted without a look at the job';
COMMENT ON COLUMN longhaul.lease.due_at IS 'since when it could have been claimed: waiting time is counted from then';
COMMENT ON COLUMN longhaul.lease.boot IS 'the claiming worker (worker.boot); NULL between attempts';
COMMENT ON COLUMN longhaul.lease.fence IS 'that worker''s claim counter: a write that names another pair is refused';
COMMENT ON COLUMN longhaul.lease.attempt IS 'this attempt, counted from 1; between attempts the number already burned';
COMMENT ON COLUMN longhaul.lease.attempt_base IS 'attempts made before a retry by hand: they don''t count against max_attempts';
COMMENT ON COLUMN longhaul.lease.deaths IS 'runners that died in this job';
COMMENT ON COLUMN longhaul.lease.limited IS 'it counts against job_type.max_running: the type had one when the job was first claimed';
COMMENT ON COLUMN longhaul.lease.host_deaths IS 'worker hosts that were lost with this job begun';
COMMENT ON COLUMN longhaul.lease.started_at IS 'when its handler began; NULL = claimed ahead, not begun';
COMMENT ON COLUMN longhaul.lease.change IS 'visible changes in this generation; low word of the version that clients see';

CREATE TABLE longhaul.cancel_request (
    job_id       uuid PRIMARY KEY,
    boot         uuid NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE longhaul.cancel_request IS 'Running jobs that somebody wants stopped; the worker reads them at each beat';
COMMENT ON COLUMN longhaul.cancel_request.job_id IS 'job.id';
COMMENT ON COLUMN longhaul.cancel_request.boot IS 'the worker that holds it';
COMMENT ON COLUMN longhaul.cancel_request.requested_at IS 'when it was asked for';

-- After a crash of the server its contents don't matter: waiting clients are also served by polling.
CREATE UNLOGGED TABLE longhaul.waiter (
    job_id     uuid NOT NULL,
    waiter     bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, waiter)
);
COMMENT ON TABLE longhaul.waiter IS 'API processes to tell when a job ends; rows are removed then, or after two minutes';
COMMENT ON COLUMN longhaul.waiter.job_id IS 'job.id';
COMMENT ON COLUMN longhaul.waiter.waiter IS 'number of the API process: it listens on longhaul_api_NUMBER (16 hexadecimal digits)';
COMMENT ON COLUMN longhaul.waiter.created_at IS 'when it last said that it waits';

CREATE TABLE longhaul.idempotency_key (
    client      text COLLATE "C" NOT NULL,
    type_id     integer NOT NULL,
    key         text COLLATE "C" NOT NULL,
    job_id      uuid NOT NULL,
    fingerprint bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client, type_id, key)
);
CREATE INDEX idempotency_key_age ON longhaul.idempotency_key (created_at);
COMMENT ON TABLE longhaul.idempotency_key IS 'Idempotency-Key header values and the job each made; kept for 24 hours at least';
COMMENT ON COLUMN longhaul.idempotency_key.client IS 'a key belongs to one client';
COMMENT ON COLUMN longhaul.idempotency_key.type_id IS 'and to one job type';
COMMENT ON COLUMN longhaul.idempotency_key.key IS 'the header''s value';
COMMENT ON COLUMN longhaul.idempotency_key.job_id IS 'the job that it made';
COMMENT ON COLUMN longhaul.idempotency_key.fingerprint IS 'job.fingerprint: the same key for another request is refused';
COMMENT ON COLUMN longhaul.idempotency_key.created_at IS 'removed a day after this';

-- ---------------------------------------------------------------------------------------------
-- Worker hosts
-- ---------------------------------------------------------------------------------------------

CREATE TABLE longhaul.worker (
    boot        uuid PRIMARY KEY,
    host        text NOT NULL,
    pid         integer NOT NULL,
    version     text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    beat_at     timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL,
    stopped_at  timestamptz,
    dead_at     timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE longhaul.worker IS 'Worker daemons: one row per start. A daemon holds all its jobs by this one lease.';
COMMENT ON COLUMN longhaul.worker.host IS 'name of the host';
COMMENT ON COLUMN longhaul.worker.pid IS 'process id of the daemon there';
COMMENT ON COLUMN longhaul.worker.version IS 'version of the daemon';
COMMENT ON COLUMN longhaul.worker.started_at IS 'when it registered';
COMMENT ON COLUMN longhaul.worker.beat_at IS 'when it last renewed its lease';
COMMENT ON COLUMN longhaul.worker.stopped_at IS 'when it signed off';
COMMENT ON COLUMN longhaul.worker.boot IS 'random identity of one start of a daemon; part of every fence';
COMMENT ON COLUMN longhaul.worker.lease_until IS 'renewed at each beat; past it, any other worker may take the jobs';
COMMENT ON COLUMN longhaul.worker.dead_at IS 'when its lease was found run out and its jobs were taken';

CREATE TABLE longhaul.worker_type (
    boot         uuid NOT NULL,
    type_id      integer NOT NULL,
    slots        integer NOT NULL,
    running      integer NOT NULL,
    finish_per_s double precision,
    mean_ms      double precision,
    floor_seq    bigint NOT NULL DEFAULT 0,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (boot, type_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE longhaul.worker_type IS 'What each worker serves: slots, jobs running, recent speed; written at each beat';
COMMENT ON COLUMN longhaul.worker_type.boot IS 'worker.boot';
COMMENT ON COLUMN longhaul.worker_type.type_id IS 'job_type.type_id';
COMMENT ON COLUMN longhaul.worker_type.slots IS 'how many jobs of the type it runs at once';
COMMENT ON COLUMN longhaul.worker_type.running IS 'how many it runs';
COMMENT ON COLUMN longhaul.worker_type.finish_per_s IS 'jobs ended per second since its last beat';
COMMENT ON COLUMN longhaul.worker_type.mean_ms IS 'how long its recent jobs took';
COMMENT ON COLUMN longhaul.worker_type.updated_at IS 'when it said so';
COMMENT ON COLUMN longhaul.worker_type.floor_seq IS 'no job of priority 0 waits at or below this seq: counting the queue starts above it';
