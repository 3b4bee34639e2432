"""What the measured database holds before the measurement begins."""

from benchmarks.harness import Database

INTERVALS = """
INSERT INTO jobs (job_id, handler, state, period, starts_at, next_run_at)
SELECT 'interval-' || n, 'Nothing', 'running', interval '1 hour', now(), now() FROM generate_series(1, %(number)s) AS n
"""
# A hundred different (expression, zone, fire time): four ways to say "daily", five zones, the last five minutes. Each
# job has exactly one due fire time, and the next one is a day away.
CRONS = """
INSERT INTO jobs (job_id, handler, state, cron, timezone, starts_at, next_run_at)
SELECT 'cron-' || n, 'Nothing', 'running',
       format('%%s %%s ', extract(minute FROM fire AT TIME ZONE zone), extract(hour FROM fire AT TIME ZONE zone))
           || (ARRAY['* * *', '* 1-12 *', '1-31 * *', '* * 0-6'])[1 + n %% 4],
       zone, fire, fire
FROM generate_series(1, %(number)s) AS n,
     LATERAL (SELECT (ARRAY['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Sydney'])[
                  1 + n / 4 %% 5] AS zone,
              date_trunc('minute', now()) - interval '1 minute' * (n / 20 %% 5) AS fire) AS s
"""
AHEAD = """
INSERT INTO jobs (job_id, handler, state, period, starts_at, next_run_at)
SELECT 'ahead-' || n, 'Nothing', 'running', interval '1 day', now(), now() + interval '1 day'
FROM generate_series(1, %(number)s) AS n
"""
QUEUED = """
INSERT INTO runs (run_id, job_no, job_id, job_version, actor, queue, scheduled_for, state, claim_at)
SELECT bayesian_jobs_uuid7(), job_no, job_id, version, handler, queue, now(), 'queued', now() FROM jobs
"""
PAUSE = "UPDATE service SET state = 'paused'"
OPEN = """
UPDATE service SET state = 'running';
SELECT pg_notify('bayesian_jobs_jobs', ''), pg_notify('bayesian_jobs_runs', 'default')
"""


def due_jobs(on: Database, number: int, *, crons: int = 0) -> None:
    """`number` jobs that are due now, of which so many run by cron expressions and the others by intervals."""
    settle(on, (INTERVALS, number - crons), (CRONS, crons))


def queued_runs(on: Database, number: int) -> None:
    """As many runs that wait for a worker, each of a job of its own."""
    settle(on, (AHEAD, number), (QUEUED, number))


def jobs_ahead(on: Database, number: int) -> None:
    """Jobs that are not due before tomorrow."""
    settle(on, (AHEAD, number))


def burst(on: Database, number: int) -> None:
    """As many jobs that are due now, and no run yet: their table is left as a schema of jobs at rest has it."""
    run(on, (INTERVALS, number), ("VACUUM (ANALYZE) jobs", 0), ("CHECKPOINT", 0))


def settle(on: Database, *inserts: tuple[str, int]) -> None:
    """Insert, and leave the database as it is once autovacuum and the checkpointer have been there."""
    run(on, *inserts)
    run(on, ("VACUUM (ANALYZE) jobs", 0), ("VACUUM (ANALYZE) runs", 0), ("CHECKPOINT", 0))


def pause(on: Database) -> None:
    run(on, (PAUSE, 0))


def open_service(on: Database) -> None:
    """Let the waiting processes begin, at once."""
    run(on, (OPEN, 0))


def run(on: Database, *statements: tuple[str, int]) -> None:
    session = on.connect()
    try:
        with session.cursor() as cursor:
            for statement, number in statements:
                cursor.execute(statement, {"number": number})
    finally:
        session.close()
