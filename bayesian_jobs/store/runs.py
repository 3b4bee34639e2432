"""The ledger of runs, as it is read; and messages that are sent without a job."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, or_, select, text

from bayesian_jobs.store.notifications import notify_runs_queued
from bayesian_jobs.store.tables import runs

SEND = """
INSERT INTO runs (run_id, job_id, actor, queue, scheduled_for, state, claim_at, queued_at, message, flow_id, task)
SELECT run_id, job_id, actor, queue, clock_timestamp(), 'queued', clock_timestamp() + delay, clock_timestamp(),
       message::jsonb, flow_id, task
FROM unnest(%(run_ids)s::uuid[], %(job_ids)s::text[], %(actors)s::text[], %(queues)s::text[], %(delays)s::interval[],
            %(messages)s::text[], %(flow_ids)s::uuid[], %(tasks)s::text[])
    AS u(run_id, job_id, actor, queue, delay, message, flow_id, task)
"""
RETRY = """
UPDATE runs SET message = %(message)s::jsonb WHERE run_id = %(run_id)s AND attempt = %(attempt)s AND state = 'running'
"""
CANCEL_QUEUED = """
UPDATE runs SET state = 'cancelled', claim_at = NULL, finished_at = clock_timestamp(), reason = %(reason)s
WHERE queue = %(queue)s AND claim_at IS NOT NULL
"""
OPEN_IN_QUEUE = text("SELECT EXISTS (SELECT FROM runs WHERE queue = :queue AND state IN ('queued', 'running'))")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message for an actor, to be kept as a run without a job; `body` holds its args, kwargs and options.

    `flow_id` and `task`: of a task of a flow, see store/flows.py.
    """

    run_id: str
    actor: str
    queue: str
    body: Mapping[str, Any]
    job_id: str | None = None
    delay: timedelta = field(default=timedelta(0))
    flow_id: str | None = None
    task: str | None = None


def send_messages(connection: Connection, messages: Sequence[NewMessage]) -> None:
    """Queue the messages and wake the workers of their queues, when this transaction commits."""
    connection.exec_driver_sql(
        SEND,
        {
            "run_ids": [each.run_id for each in messages],
            "job_ids": [each.job_id for each in messages],
            "actors": [each.actor for each in messages],
            "queues": [each.queue for each in messages],
            "delays": [each.delay for each in messages],
            "messages": [json.dumps(each.body, allow_nan=False) for each in messages],
            "flow_ids": [each.flow_id for each in messages],
            "tasks": [each.task for each in messages],
        },
    )
    notify_runs_queued(connection, (each.queue for each in messages))


def replace_message(connection: Connection, run_id: str, attempt: int, body: Mapping[str, Any]) -> None:
    """Keep what Dramatiq has noted in a running message (its number of retries) for the next attempt."""
    values = {"run_id": run_id, "attempt": attempt, "message": json.dumps(body, allow_nan=False)}
    connection.exec_driver_sql(RETRY, values)


def cancel_queued(connection: Connection, queue: str, reason: str) -> None:
    connection.exec_driver_sql(CANCEL_QUEUED, {"queue": queue, "reason": reason})


def any_open(connection: Connection, queue: str) -> bool:
    """Whether a run of the queue is queued or running."""
    return bool(connection.execute(OPEN_IN_QUEUE, {"queue": queue}).scalar())


def get_run(connection: Connection, run_id: str) -> Mapping[str, Any] | None:
    if not is_uuid(run_id):
        return None
    row = connection.execute(select(runs).where(runs.c.run_id == run_id)).first()
    return row._asdict() if row else None


def list_runs(
    connection: Connection,
    *,
    job_no: int | None = None,
    state: str | None = None,
    limit: int = 100,
    after: tuple[datetime, str] | None = None,
) -> list[Mapping[str, Any]]:
    """Runs, missed and skipped records, the newest fire time first; `after`: (scheduled_for, run_id) of the last one
    already seen."""
    query = select(runs).order_by(runs.c.scheduled_for.desc(), runs.c.run_id.desc()).limit(limit)
    if job_no is not None:
        query = query.where(runs.c.job_no == job_no)
    if state is not None:
        query = query.where(runs.c.state == state)
    if after is not None:
        at, run_id = after
        query = query.where(
            runs.c.scheduled_for <= at,
            or_(runs.c.scheduled_for < at, and_(runs.c.scheduled_for == at, runs.c.run_id < run_id)),
        )
    return [row._asdict() for row in connection.execute(query)]


def is_uuid(text: str) -> bool:
    """Whether PostgreSQL reads the text as a UUID in the one form that we write."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
