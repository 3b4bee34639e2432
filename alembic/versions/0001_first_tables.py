"""The first tables: jobs, runs, processes, service."""

from alembic import op

revision = "0001"
down_revision = None

JOBS = """
CREATE TABLE jobs (
    job_no bigint GENERATED ALWAYS AS IDENTITY,
    job_id text NOT NULL,
    handler text NOT NULL,
    queue text NOT NULL DEFAULT 'default',
    kwargs jsonb NOT NULL DEFAULT '{}'::jsonb,
    period interval,
    cron text,
    timezone text NOT NULL DEFAULT 'UTC',
    starts_at timestamptz NOT NULL DEFAULT now(),
    misfire_grace_time interval,
    state text NOT NULL DEFAULT 'pending',
    next_run_at timestamptz,
    last_run_id uuid,
    last_scheduled_for timestamptz,
    version integer NOT NULL DEFAULT 1,
    source text,
    source_digest text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT jobs_pkey PRIMARY KEY (job_no),
    CONSTRAINT jobs_job_id_key UNIQUE (job_id),
    CONSTRAINT jobs_state_check CHECK (state IN ('pending', 'running', 'paused', 'finished')),
    CONSTRAINT jobs_one_trigger_check CHECK (num_nonnulls(period, cron) <= 1),
    CONSTRAINT jobs_period_check CHECK (period > interval '0' AND period <= interval '99999 days'),
    CONSTRAINT jobs_misfire_grace_time_check CHECK (misfire_grace_time > interval '0'),
    CONSTRAINT jobs_job_id_check CHECK (length(job_id) BETWEEN 1 AND 200),
    CONSTRAINT jobs_times_check CHECK (isfinite(starts_at) AND isfinite(next_run_at))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX jobs_due ON jobs (next_run_at) WHERE state = 'running';
CREATE INDEX jobs_over ON jobs (job_no) WHERE next_run_at IS NULL AND state IN ('running', 'paused');
CREATE INDEX jobs_failures ON jobs (job_id) WHERE handler = 'ErrorHandler';
CREATE INDEX jobs_source ON jobs (source) WHERE source IS NOT NULL;
COMMENT ON COLUMN jobs.job_no IS 'a job that is deleted and created again under its old job_id is another job';
COMMENT ON COLUMN jobs.period IS 'of a job that runs at fixed intervals, counted from starts_at';
COMMENT ON COLUMN jobs.cron IS 'of a job that runs by a cron expression; neither period nor cron: runs once, at starts_at';
COMMENT ON COLUMN jobs.timezone IS 'in which the cron expression is read';
COMMENT ON COLUMN jobs.misfire_grace_time IS 'how late a run may start; null: no limit';
COMMENT ON COLUMN jobs.next_run_at IS 'the first fire time that no run, missed or skipped record accounts for yet';
COMMENT ON COLUMN jobs.last_run_id IS 'the run of the latest fire time that had one';
COMMENT ON COLUMN jobs.version IS 'counts the changes of the definition and of the state';
COMMENT ON COLUMN jobs.source IS 'the default-job file that owns this job';
COMMENT ON COLUMN jobs.source_digest IS 'SHA-256 of the options that the file held when it was last applied';
"""

RUNS = """
CREATE TABLE runs (
    run_id uuid NOT NULL,
    job_no bigint,
    job_id text,
    job_version integer,
    actor text NOT NULL,
    queue text NOT NULL,
    scheduled_for timestamptz NOT NULL,
    state text NOT NULL,
    claim_at timestamptz,
    attempt integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    recoveries integer NOT NULL DEFAULT 0,
    worker bigint,
    begun boolean NOT NULL DEFAULT false,
    queued_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    missed_until timestamptz,
    missed_count bigint,
    reason text,
    traceback text,
    message jsonb,
    CONSTRAINT runs_pkey PRIMARY KEY (run_id, scheduled_for),
    CONSTRAINT runs_job_no_scheduled_for_key UNIQUE (job_no, scheduled_for),
    CONSTRAINT runs_state_check CHECK (state IN (
        'queued', 'running', 'succeeded', 'failed', 'missed', 'skipped', 'cancelled')),
    CONSTRAINT runs_only_queued_runs_wait_check CHECK (claim_at IS NULL OR state = 'queued'),
    CONSTRAINT runs_missed_range_check CHECK (num_nonnulls(missed_until, missed_count) IN (0, 2))
) PARTITION BY RANGE (scheduled_for);
CREATE INDEX runs_claim ON runs (queue, claim_at) WHERE claim_at IS NOT NULL;
COMMENT ON COLUMN runs.run_id IS 'also the id of the Dramatiq message';
COMMENT ON COLUMN runs.job_no IS 'null: a message that was sent to an actor without a job';
COMMENT ON COLUMN runs.job_version IS 'of the definition that the run was queued under';
COMMENT ON COLUMN runs.scheduled_for IS 'the fire time; of a message, when it was sent';
COMMENT ON COLUMN runs.claim_at IS 'when a worker may claim it; null: it does not wait for one';
COMMENT ON COLUMN runs.attempt IS 'counts the starts: the fencing token';
COMMENT ON COLUMN runs.failures IS 'attempts that raised';
COMMENT ON COLUMN runs.recoveries IS 'attempts taken back from a dead worker';
COMMENT ON COLUMN runs.worker IS 'the process that claimed it last';
COMMENT ON COLUMN runs.begun IS 'an attempt went back to the queue after its handler had begun';
COMMENT ON COLUMN runs.started_at IS 'of the latest attempt';
COMMENT ON COLUMN runs.missed_until IS 'of a missed or skipped record: its last fire time';
COMMENT ON COLUMN runs.missed_count IS 'how many fire times such a record stands for';
COMMENT ON COLUMN runs.reason IS 'why it ended as it did';
COMMENT ON COLUMN runs.message IS 'args, kwargs and options of a message without a job';
"""

# The scheduler makes partitions ahead of time and drops them behind (store/partitions.py); these are the first.
PARTITIONS = """
CREATE TABLE runs_past PARTITION OF runs DEFAULT;
DO $$
DECLARE week timestamptz;
BEGIN
    FOR n IN 0..4 LOOP
        week := date_trunc('week', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + n * interval '168 hours';
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF runs FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 70, '
            'autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)',
            'runs_p' || to_char(week AT TIME ZONE 'UTC', 'YYYYMMDD'), week, week + interval '168 hours');
    END LOOP;
END $$;
"""

PROCESSES = """
CREATE TABLE processes (
    process_no bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    hostname text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL,
    missing_since timestamptz,
    ended_at timestamptz,
    holding uuid[] NOT NULL DEFAULT '{}',
    CONSTRAINT processes_pkey PRIMARY KEY (process_no),
    CONSTRAINT processes_kind_check CHECK (kind IN ('api', 'scheduler', 'worker'))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE INDEX processes_alive ON processes (kind) WHERE ended_at IS NULL;
COMMENT ON COLUMN processes.process_no IS 'also the key of the advisory lock that its session holds';
COMMENT ON COLUMN processes.lease_until IS 'it is alive until then, unless its session ends before';
COMMENT ON COLUMN processes.missing_since IS 'when its session was first seen to be gone';
COMMENT ON COLUMN processes.ended_at IS 'when it ended, or was given up';
COMMENT ON COLUMN processes.holding IS 'the runs it may be executing';
"""

SERVICE = """
CREATE TABLE service (
    id smallint NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'running',
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT service_pkey PRIMARY KEY (id),
    CONSTRAINT service_one_row_check CHECK (id = 1),
    CONSTRAINT service_state_check CHECK (state IN ('running', 'paused'))
);
INSERT INTO service DEFAULT VALUES;
"""

# A UUID of version 7 (RFC 9562): milliseconds since 1970, then random bits. Made here because a batch of runs is
# inserted without travelling to Python, and because PostgreSQL brings its own only from version 18 on.
UUID7 = """
CREATE FUNCTION bayesian_jobs_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid()) PLACING
                substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
            52, 1), 53, 1), 'hex')::uuid
$$;
"""


def upgrade() -> None:
    for statements in (JOBS, RUNS, PARTITIONS, PROCESSES, SERVICE, UUID7):
        op.execute(statements)


def downgrade() -> None:
    op.execute("DROP FUNCTION bayesian_jobs_uuid7()")
    for table in ("service", "processes", "runs", "jobs"):
        op.drop_table(table)
