"""Runs that somebody asks for, outside the schedule."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import UUID

from bayesian_jobs.store.notifications import notify_cancel_requested, notify_runs_queued
from bayesian_jobs.store.open_runs import open_runs

Row = Mapping[str, Any]

IDS = {name: UUID(as_uuid=False) for name in ("run_id", "flow_id", "retry_of")}

# No fire time that is still to come may find its place taken, however unlikely that is: its microsecond is left free.
REQUEST = text(f"""
WITH clock AS (
    SELECT now + (now IS NOT DISTINCT FROM next_run_at)::int * interval '1 microsecond' AS now
    FROM jobs CROSS JOIN (SELECT clock_timestamp() AS now) AS c WHERE job_no = :job_no
),
queued AS (
    INSERT INTO runs (run_id, job_no, job_id, job_version, actor, queue, priority, scheduled_for, state, claim_at,
                      queued_at, requested, kwargs, retry_of)
    SELECT bayesian_jobs_uuid7(), job_no, job_id, version, handler, queue, priority, clock.now, 'queued', clock.now,
           clock.now, true, CAST(:kwargs AS jsonb), CAST(:retry_of AS uuid)
    FROM jobs CROSS JOIN clock WHERE job_no = :job_no
    RETURNING *
),
noted AS (
    UPDATE jobs SET last_run_id = queued.run_id, last_scheduled_for = queued.scheduled_for,
        open_runs = CASE WHEN max_concurrent_runs > 1 THEN {open_runs("jobs")} || queued.scheduled_for
                         ELSE open_runs END,
        updated_at = queued.queued_at -- or retention could take a finished job away before its run has started
    FROM queued WHERE jobs.job_no = queued.job_no
)
SELECT * FROM queued
""").columns(**IDS)

COUNT_OPEN = text(f"SELECT cardinality({open_runs('jobs')}) FROM jobs WHERE job_no = :job_no")

RESEND = text("""
INSERT INTO runs (run_id, job_id, actor, queue, priority, scheduled_for, state, claim_at, queued_at, message, flow_id,
                  task, requested, retry_of)
SELECT bayesian_jobs_uuid7(), job_id, actor, queue, priority, clock_timestamp(), 'queued', clock_timestamp(),
       clock_timestamp(),
       jsonb_build_object('args', message -> 'args', 'kwargs', coalesce(CAST(:kwargs AS jsonb), message -> 'kwargs'),
                          'options', (message -> 'options') - 'retries' - 'traceback' - 'requeue_timestamp'),
       flow_id, task, true, run_id
FROM runs WHERE run_id = :run_id AND scheduled_for = :scheduled_for
RETURNING *
""").columns(**IDS)

LOCK_RUN = text("SELECT FROM runs WHERE run_id = :run_id AND scheduled_for = :scheduled_for FOR UPDATE")
OPEN_RETRY = text("""
SELECT run_id FROM runs WHERE retry_of = :run_id AND state IN ('queued', 'running') LIMIT 1
""").columns(run_id=IDS["run_id"])

CANCEL = text("""
UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()), claim_at = NULL,
    state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
    finished_at = CASE state WHEN 'queued' THEN clock_timestamp() END,
    reason = CASE state WHEN 'queued' THEN :reason END
WHERE run_id = :run_id AND scheduled_for = :scheduled_for AND state IN ('queued', 'running')
RETURNING *
""").columns(**IDS)


def open_runs_of(connection: Connection, job: Row) -> int:
    """How many runs of a locked job are queued or executing."""
    count: int = connection.execute(COUNT_OPEN, {"job_no": job["job_no"]}).scalar_one()
    return count


def request_run(connection: Connection, job: Row, kwargs: Mapping[str, Any] | None, retry_of: str | None) -> Row:
    """Queue a run of a locked job that may start at once, and wake a worker. It becomes the job's last run."""
    values = {"job_no": job["job_no"], "kwargs": as_json(kwargs), "retry_of": retry_of}
    run = connection.execute(REQUEST, values).one()._asdict()
    notify_runs_queued(connection, [run["queue"]])
    return run


def open_retry_of(connection: Connection, run: Row) -> str | None:
    """The run_id of a run that tries this one again and has not ended; none is added until the transaction ends.

    Locks the row of the run.
    """
    key = {"run_id": run["run_id"], "scheduled_for": run["scheduled_for"]}
    connection.execute(LOCK_RUN, key)
    found: str | None = connection.execute(OPEN_RETRY, key).scalar()
    return found


def send_again(connection: Connection, run: Row, kwargs: Mapping[str, Any] | None) -> Row | None:
    """Queue the message of a run without a job once more, and wake a worker. A task of a flow stays one. None: there is
    no such run any more."""
    values = {"run_id": run["run_id"], "scheduled_for": run["scheduled_for"], "kwargs": as_json(kwargs)}
    again = connection.execute(RESEND, values).first()
    if again is None:
        return None
    notify_runs_queued(connection, [again.queue])
    return again._asdict()


def cancel(connection: Connection, run: Row, reason: str) -> Row | None:
    """Cancel a run that is queued; note that one that executes is to be cancelled, and wake its worker. None if it has
    ended. Waits for a claim, or a report, of it that is under way."""
    values = {"run_id": run["run_id"], "scheduled_for": run["scheduled_for"], "reason": reason}
    row = connection.execute(CANCEL, values).first()
    if row is None:
        return None
    notify_cancel_requested(connection, row.run_id)
    return row._asdict()


def as_json(kwargs: Mapping[str, Any] | None) -> str | None:
    return None if kwargs is None else json.dumps(dict(kwargs), allow_nan=False)
