"""Functions by which plain SQL makes and removes jobs within a transaction of its own."""

from sqlalchemy import text

from alembic import op

revision = "0013"
down_revision = "0012"

# They act with the rights of the tables' owner, and so find these tables and nothing else, whatever the caller's path is.
SCHEDULE = """
CREATE FUNCTION schedule_job(
    handler text,
    kwargs jsonb DEFAULT '{{}}',
    job_id text DEFAULT NULL,
    periodically text DEFAULT NULL,
    "when" timestamptz DEFAULT NULL,
    "end" timestamptz DEFAULT NULL,
    timezone text DEFAULT NULL,
    jitter interval DEFAULT NULL,
    misfire_grace_time interval DEFAULT NULL,
    catch_up text DEFAULT NULL,
    max_concurrent_runs integer DEFAULT NULL,
    overlap text DEFAULT NULL,
    queue text DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_retries integer DEFAULT NULL,
    retry_delay interval DEFAULT NULL,
    time_limit interval DEFAULT NULL,
    description text DEFAULT NULL,
    tags text[] DEFAULT NULL,
    if_exists text DEFAULT 'error'
) RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
#variable_conflict use_column
DECLARE
    called_at timestamptz := clock_timestamp();
    added text;
BEGIN
    IF if_exists IS NULL OR if_exists NOT IN ('error', 'keep') THEN
        RAISE invalid_parameter_value USING MESSAGE =
            format('if_exists: %L: must be ''error'' or ''keep''', if_exists);
    END IF;
    -- Whether periodically is a period or a cron expression, the scheduler tells when it takes the job up.
    INSERT INTO jobs (
        job_id, handler, kwargs, cron, starts_at, ends_at, timezone, jitter, misfire_grace_time, catch_up,
        max_concurrent_runs, overlap, queue, priority, max_retries, retry_delay, time_limit, description, tags,
        created_at, updated_at
    ) VALUES (
        coalesce(schedule_job.job_id, gen_random_uuid()::text), schedule_job.handler, coalesce(schedule_job.kwargs, '{{}}'),
        schedule_job.periodically, coalesce(schedule_job."when", called_at), schedule_job."end",
        coalesce(schedule_job.timezone, 'UTC'), schedule_job.jitter, schedule_job.misfire_grace_time,
        coalesce(schedule_job.catch_up, 'latest'), coalesce(schedule_job.max_concurrent_runs, 1),
        coalesce(schedule_job.overlap, 'skip'), coalesce(schedule_job.queue, 'default'),
        coalesce(schedule_job.priority, 5), schedule_job.max_retries, schedule_job.retry_delay,
        schedule_job.time_limit, schedule_job.description, coalesce(schedule_job.tags, '{{}}'), called_at, called_at
    ) ON CONFLICT (job_id) DO NOTHING RETURNING jobs.job_id INTO added;
    IF added IS NULL THEN
        IF if_exists = 'keep' THEN
            RETURN NULL;
        END IF;
        RAISE unique_violation USING MESSAGE = format('A job with id %L already exists', schedule_job.job_id);
    END IF;
    INSERT INTO audit_log (who, origin, action, job_id, details)
    VALUES ('SQL', session_user, 'job added', added, jsonb_build_object('handler', schedule_job.handler));
    PERFORM pg_notify('bayesian_jobs_jobs', '');
    RETURN added;
END $$
"""

UNSCHEDULE = """
CREATE FUNCTION unschedule_job(job_id text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
#variable_conflict use_column
DECLARE
    removed jobs;
    first_open timestamptz;
BEGIN
    SELECT * INTO removed FROM jobs AS j WHERE j.job_id = unschedule_job.job_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    first_open := (SELECT min(at) FROM unnest(removed.open_runs || removed.last_scheduled_for) AS known(at));
    UPDATE runs SET state = 'cancelled', claim_at = NULL, finished_at = clock_timestamp(),
        reason = 'The job was deleted while the run was queued.'
    WHERE job_no = removed.job_no AND state = 'queued' AND scheduled_for >= first_open;
    -- A run that was claimed just now begins within a moment, or never.
    PERFORM pg_sleep(extract(epoch FROM max(started_at) + interval '100 milliseconds' - clock_timestamp()))
    FROM runs WHERE job_no = removed.job_no AND state = 'running' AND scheduled_for >= first_open
        AND started_at > clock_timestamp() - interval '100 milliseconds';
    DELETE FROM jobs WHERE job_no = removed.job_no;
    INSERT INTO audit_log (who, origin, action, job_id, details)
    VALUES ('SQL', session_user, 'job removed', removed.job_id, '{{}}');
    RETURN true;
END $$
"""

COMMENTS = """
COMMENT ON COLUMN audit_log.who IS 'token NAME, local, command line, SQL, default files or scheduler';
COMMENT ON COLUMN audit_log.origin IS
    'the address of the client, user@host of the command line, or the role of the database'
"""
COMMENTS_BEFORE = """
COMMENT ON COLUMN audit_log.who IS 'token NAME, local, command line, default files or scheduler';
COMMENT ON COLUMN audit_log.origin IS 'the address of the client, or user@host of the command line'
"""


def upgrade() -> None:
    schema = op.get_bind().execute(text("SELECT quote_ident(current_schema())")).scalar_one()
    for function in (SCHEDULE, UNSCHEDULE):
        op.get_bind().exec_driver_sql(function.format(schema=schema).replace("%", "%%"))
    op.execute("REVOKE ALL ON FUNCTION schedule_job, unschedule_job FROM PUBLIC")
    op.execute(COMMENTS)


def downgrade() -> None:
    op.execute("DROP FUNCTION schedule_job, unschedule_job")
    op.execute(COMMENTS_BEFORE)
