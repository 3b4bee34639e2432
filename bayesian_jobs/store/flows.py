"""Flows under way: what waits is a row of `flow_tasks`, what has started is a run.

A row leaves in the statement that makes its run; so a task starts once, whoever tries.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, text

from bayesian_jobs.domain.flow import Flow
from bayesian_jobs.store.claimed import ClaimedRun
from bayesian_jobs.store.notifications import notify_runs_queued
from bayesian_jobs.store.prepared import Prepared
from bayesian_jobs.store.runs import NewMessage, is_uuid, send_messages

WAIT = """
INSERT INTO flow_tasks (flow_id, task, actor, queue, message, waits_for, job_id)
SELECT flow_id, task, actor, queue, message::jsonb,
       ARRAY(SELECT jsonb_array_elements_text(waits_for::jsonb)), %(job_id)s
FROM unnest(%(flow_ids)s::uuid[], %(messages)s::text[]) AS f(flow_id, message)
CROSS JOIN unnest(%(tasks)s::text[], %(actors)s::text[], %(queues)s::text[], %(waits_fors)s::text[])
    AS t(task, actor, queue, waits_for)
"""

# Sent in front, and in one order for all: whoever records the success of another task of these flows waits here, and
# then sees, with the snapshot of the next statement, what has been done meanwhile.
LOCK_FLOWS = """
SELECT FROM flow_tasks WHERE flow_id = ANY(%(flow_ids)s::uuid[]) ORDER BY flow_id, task FOR UPDATE;
"""
GO_ON = """
WITH succeeded AS MATERIALIZED (
    SELECT flow_id, array_agg(task) AS tasks
    FROM unnest(%(flow_ids)s::uuid[], %(tasks)s::text[]) AS u(flow_id, task) GROUP BY flow_id
),
still AS MATERIALIZED (
    SELECT flow_id, task, ARRAY(SELECT name FROM unnest(waits_for) AS name WHERE name <> ALL (s.tasks)) AS waits_for
    FROM succeeded AS s JOIN flow_tasks AS f USING (flow_id)
    WHERE f.waits_for && s.tasks
),
waiting AS (
    UPDATE flow_tasks AS f SET waits_for = still.waits_for
    FROM still WHERE f.flow_id = still.flow_id AND f.task = still.task AND still.waits_for <> '{}'
),
ready AS (
    DELETE FROM flow_tasks AS f
    USING still WHERE f.flow_id = still.flow_id AND f.task = still.task AND still.waits_for = '{}'
    RETURNING f.flow_id, f.task, f.actor, f.queue, f.message, f.job_id
)
INSERT INTO runs (run_id, job_id, actor, queue, scheduled_for, state, claim_at, queued_at, message, flow_id, task)
SELECT bayesian_jobs_uuid7(), job_id, actor, queue, clock_timestamp(), 'queued', clock_timestamp(), clock_timestamp(),
       message, flow_id, task
FROM ready
RETURNING queue
"""

TASKS = text("""
SELECT * FROM (
    SELECT DISTINCT ON (task) task, actor, queue, state, run_id, scheduled_for, '{}'::text[] AS waits_for, job_id
    FROM runs WHERE flow_id = :flow_id ORDER BY task, scheduled_for DESC
) AS started
UNION ALL
SELECT task, actor, queue, 'waiting', NULL, NULL, waits_for, job_id FROM flow_tasks WHERE flow_id = :flow_id
ORDER BY scheduled_for, task
""")

# What still waits for a run that has gone will wait for ever; as long as one is left, it may end, or be retried.
DELETE_HOPELESS = text("""
DELETE FROM flow_tasks WHERE (flow_id, task) IN (
    SELECT flow_id, task FROM flow_tasks AS f
    WHERE created_at < clock_timestamp() - CAST(:retention AS interval)
      AND NOT EXISTS (SELECT FROM runs WHERE runs.flow_id = f.flow_id)
    LIMIT :limit FOR UPDATE SKIP LOCKED)
""")

go_on_statement = Prepared("go_on", GO_ON, LOCK_FLOWS)


def start_flow(connection: Connection, flow: Flow, bodies: Sequence[Mapping[str, Any]], job_id: str | None) -> None:
    """Start the flow once for each body (args, kwargs and options of the message that each of its tasks gets): queue
    the tasks that wait for nothing, and let the others wait, when this transaction commits."""
    starts = [(str(uuid4()), body) for body in bodies]
    waiting = [task for task in flow.tasks if task.after]
    first = [
        NewMessage(
            run_id=str(uuid4()),
            actor=task.actor,
            queue=task.queue,
            body=body,
            job_id=job_id,
            flow_id=flow_id,
            task=task.name,
        )
        for flow_id, body in starts
        for task in flow.tasks
        if not task.after
    ]
    send_messages(connection, first)
    connection.exec_driver_sql(
        WAIT,
        {
            "flow_ids": [flow_id for flow_id, _ in starts],
            "messages": [json.dumps(body, allow_nan=False) for _, body in starts],
            "tasks": [task.name for task in waiting],
            "actors": [task.actor for task in waiting],
            "queues": [task.queue for task in waiting],
            "waits_fors": [json.dumps(task.after) for task in waiting],
            "job_id": job_id,
        },
    )


def go_on(connection: Connection, succeeded: Sequence[ClaimedRun]) -> None:
    """Queue the tasks that waited for nothing but these, whose success this transaction records, and wake the workers
    of their queues. Runs that are no tasks of a flow cost nothing.

    Locks all waiting tasks of their flows, in the order of (flow_id, task); so it comes after all that this
    transaction does to runs and jobs, and whoever waits here is waited for by nobody who holds a flow.
    """
    tasks = [run for run in succeeded if run.flow_id is not None]
    if not tasks:
        return
    values = {"flow_ids": [run.flow_id for run in tasks], "tasks": [run.task for run in tasks]}
    notify_runs_queued(connection, (row.queue for row in go_on_statement.run(connection, values)))


def tasks_of(connection: Connection, flow_id: str) -> list[Mapping[str, Any]]:
    """The tasks of one start of a flow, in the order of their latest runs and then those that wait; none: there is no
    such start, or its history is gone."""
    if not is_uuid(flow_id):
        return []
    return [row._asdict() for row in connection.execute(TASKS, {"flow_id": flow_id})]


def delete_hopeless_tasks(connection: Connection, retention: timedelta, limit: int) -> int:
    """Delete up to `limit` tasks that have waited for longer than `retention` and of whose flow no run is left."""
    return connection.execute(DELETE_HOPELESS, {"retention": retention, "limit": limit}).rowcount
