"""Further options of a job: end, jitter, catching up, concurrent runs, priority, retries, time limit, words about it."""

from alembic import op

revision = "0004"
down_revision = "0003"

# What plain SQL has written beyond the limits below: of a running job the scheduler judges it anew, and sets it aside
# with words; of any other it is brought within them.
WITHIN_LIMITS = """
UPDATE jobs SET state = 'pending' WHERE state = 'running' AND NOT (
    starts_at BETWEEN '1970-01-01 00:00Z' AND '9000-12-31 23:59:59.999999Z'
    AND coalesce(next_run_at BETWEEN '1970-01-01 00:00Z' AND '9000-12-31 23:59:59.999999Z', true)
    AND coalesce(misfire_grace_time <= interval '99999 days', true)
    AND coalesce(extract(year FROM period) = 0 AND extract(month FROM period) = 0, true));
UPDATE jobs SET
    starts_at = greatest(least(starts_at, '9000-12-31 00:00Z'), '1970-01-01 00:00Z'),
    next_run_at = CASE WHEN next_run_at IS NOT NULL
        THEN greatest(least(next_run_at, '9000-12-31 00:00Z'), '1970-01-01 00:00Z') END,
    misfire_grace_time = CASE WHEN misfire_grace_time IS NOT NULL
        THEN least(misfire_grace_time, interval '99999 days') END
WHERE state IN ('paused', 'finished') AND NOT (
    starts_at BETWEEN '1970-01-01 00:00Z' AND '9000-12-31 23:59:59.999999Z'
    AND coalesce(next_run_at BETWEEN '1970-01-01 00:00Z' AND '9000-12-31 23:59:59.999999Z', true)
    AND coalesce(misfire_grace_time <= interval '99999 days', true))
"""

JOBS = """
ALTER TABLE jobs
    ADD COLUMN ends_at timestamptz,
    ADD COLUMN jitter interval,
    ADD COLUMN catch_up text NOT NULL DEFAULT 'latest',
    ADD COLUMN max_concurrent_runs smallint NOT NULL DEFAULT 1,
    ADD COLUMN overlap text NOT NULL DEFAULT 'skip',
    ADD COLUMN priority smallint NOT NULL DEFAULT 5,
    ADD COLUMN max_retries integer,
    ADD COLUMN retry_delay interval,
    ADD COLUMN time_limit interval,
    ADD COLUMN description text,
    ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
    ADD COLUMN open_runs timestamptz[],
    ADD COLUMN waiting boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT jobs_jitter_check CHECK (jitter > interval '0'),
    ADD CONSTRAINT jobs_catch_up_check CHECK (catch_up IN ('latest', 'all', 'none')),
    ADD CONSTRAINT jobs_reach_check CHECK (catch_up <> 'all' OR misfire_grace_time IS NOT NULL),
    ADD CONSTRAINT jobs_max_concurrent_runs_check CHECK (max_concurrent_runs BETWEEN 1 AND 100),
    ADD CONSTRAINT jobs_overlap_check CHECK (overlap IN ('skip', 'queue_one')),
    ADD CONSTRAINT jobs_priority_check CHECK (priority BETWEEN 0 AND 9),
    ADD CONSTRAINT jobs_max_retries_check CHECK (max_retries >= 0),
    ADD CONSTRAINT jobs_attempts_check CHECK (retry_delay > interval '0' AND time_limit > interval '0'),
    ADD CONSTRAINT jobs_limits_check CHECK (state = 'pending' OR (
        starts_at BETWEEN '1970-01-01 00:00Z' AND '9000-12-31 23:59:59.999999Z'
        AND ends_at BETWEEN '1970-01-01 00:00Z' AND '9000-12-31 23:59:59.999999Z'
        AND next_run_at BETWEEN '1970-01-01 00:00Z' AND '9000-12-31 23:59:59.999999Z'
        AND jitter <= interval '99999 days' AND misfire_grace_time <= interval '99999 days'
        AND retry_delay <= interval '99999 days' AND time_limit <= interval '99999 days')),
    ADD CONSTRAINT jobs_fixed_period_check CHECK (
        state <> 'running' OR (extract(year FROM period) = 0 AND extract(month FROM period) = 0)),
    DROP CONSTRAINT jobs_times_check,
    ADD CONSTRAINT jobs_times_check CHECK (isfinite(starts_at) AND isfinite(next_run_at) AND isfinite(ends_at));
DROP INDEX jobs_due;
CREATE INDEX jobs_due ON jobs (next_run_at) WHERE state = 'running' AND NOT waiting;
CREATE INDEX jobs_waiting ON jobs (job_no) WHERE waiting;
CREATE INDEX jobs_tags ON jobs USING gin (tags) WHERE tags <> '{}';
COMMENT ON COLUMN jobs.ends_at IS 'of a periodic job: when it fires last, at the latest';
COMMENT ON COLUMN jobs.jitter IS 'a run may be started later than its fire time, by less than this';
COMMENT ON COLUMN jobs.catch_up IS 'what becomes of several fire times that are due at once';
COMMENT ON COLUMN jobs.overlap IS 'what becomes of a fire time while so many runs are open';
COMMENT ON COLUMN jobs.priority IS 'of its runs: the lower, the earlier they are claimed';
COMMENT ON COLUMN jobs.max_retries IS 'null: as its handler says';
COMMENT ON COLUMN jobs.retry_delay IS 'null: as its handler says';
COMMENT ON COLUMN jobs.time_limit IS 'null: as its handler says';
COMMENT ON COLUMN jobs.open_runs IS
    'the fire times of the runs that were open when the last one was made, if it may have several';
COMMENT ON COLUMN jobs.waiting IS 'its due fire time waits for an open run to end';
"""

RUNS = """
ALTER TABLE runs ADD COLUMN priority smallint NOT NULL DEFAULT 5;
DROP INDEX runs_claim;
CREATE INDEX runs_claim ON runs (queue, priority, claim_at) WHERE claim_at IS NOT NULL;
COMMENT ON COLUMN runs.priority IS 'the lower, the earlier it is claimed';
"""

# A share of the jitter that is the same whenever and wherever it is computed: 32 bits of a hash of job and fire time.
DELAY = """
CREATE FUNCTION bayesian_jobs_delay(jitter interval, job_id text, fire_time timestamptz) RETURNS interval
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT floor(
        extract(epoch FROM jitter) * 1000000
        * ('x' || left(md5(job_id || ' ' || (extract(epoch FROM fire_time) * 1000000)::bigint), 8))::bit(32)::bigint
        / 4294967296
    )::float8 * interval '1 microsecond'
$$;
"""

# What waits for an earlier run of its job is judged by the schema before like the end of a downtime.
BACK = """
DROP FUNCTION bayesian_jobs_delay(interval, text, timestamptz);
DROP INDEX jobs_due;
CREATE INDEX jobs_due ON jobs (next_run_at) WHERE state = 'running';
DROP INDEX runs_claim;
CREATE INDEX runs_claim ON runs (queue, claim_at) WHERE claim_at IS NOT NULL;
ALTER TABLE runs DROP COLUMN priority;
ALTER TABLE jobs
    DROP CONSTRAINT jobs_limits_check, DROP CONSTRAINT jobs_fixed_period_check,
    DROP CONSTRAINT jobs_times_check,
    ADD CONSTRAINT jobs_times_check CHECK (isfinite(starts_at) AND isfinite(next_run_at)),
    DROP COLUMN ends_at, DROP COLUMN jitter, DROP COLUMN catch_up, DROP COLUMN max_concurrent_runs,
    DROP COLUMN overlap, DROP COLUMN priority, DROP COLUMN max_retries, DROP COLUMN retry_delay, DROP COLUMN time_limit,
    DROP COLUMN description, DROP COLUMN tags, DROP COLUMN open_runs, DROP COLUMN waiting;
"""


def upgrade() -> None:
    for statements in (WITHIN_LIMITS, JOBS, RUNS, DELAY):
        op.execute(statements)


def downgrade() -> None:
    op.execute(BACK)
