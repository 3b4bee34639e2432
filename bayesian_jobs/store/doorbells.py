"""Runs that are told of by doorbells, where Redis or RabbitMQ carries them: which are to be told of now, and starting
those that a worker has been told of.

The row of a queued run is the outbox: `resend_at` says when the run is to be told of again, should it not have started
by then. Nothing else is kept of a doorbell, and so none can be lost, or come twice, with an effect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bayesian_jobs.domain.job import FIRST_PRIORITY, LAST_PRIORITY
from bayesian_jobs.store.claims import DUE, Claim, claim_from, claim_of
from bayesian_jobs.store.endings import Ending, values_of
from bayesian_jobs.store.locks import LOCK_SENDERS, LOCK_SERVICE
from bayesian_jobs.store.prepared import Prepared

RunAt = tuple[str, datetime]
"""What names a run: its id and its fire time."""

# One that is told of twice starts once. One that is no longer queued, is queued for later, or has moved to a queue that
# this process does not consume, stays as it is. First what comes from a dead worker: only idle threads may start it.
START = claim_of(f"""
    SELECT {DUE}
    FROM (SELECT DISTINCT * FROM unnest(%(told_of)s::uuid[], %(fire_times)s::timestamptz[]))
        AS told(run_id, scheduled_for)
    JOIN runs AS r USING (run_id, scheduled_for)
    WHERE r.claim_at <= (SELECT now FROM clock) AND r.queue = ANY(%(queues)s::text[])
      AND (SELECT ready FROM ready)
    ORDER BY r.recoveries = 0 FOR UPDATE OF r SKIP LOCKED
""")

# One look-up for each queue and priority. While the service is paused, nobody is told of anything.
WAITING = f"""
WITH RECURSIVE known(queue) AS (
    (SELECT queue FROM runs WHERE claim_at IS NOT NULL ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT queue FROM runs WHERE claim_at IS NOT NULL AND queue > known.queue ORDER BY queue LIMIT 1)
    FROM known WHERE known.queue IS NOT NULL
)
SELECT known.queue, (
    SELECT min(first.claim_at) FROM generate_series({FIRST_PRIORITY}, {LAST_PRIORITY}) AS p(priority)
    CROSS JOIN LATERAL (
        SELECT claim_at FROM runs
        WHERE queue = known.queue AND priority = p.priority::smallint AND claim_at IS NOT NULL
        ORDER BY claim_at LIMIT 1
    ) AS first
) - clock_timestamp() AS wait
FROM known WHERE known.queue IS NOT NULL AND (SELECT state FROM service) = 'running'
"""

NOTE = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
to_tell AS MATERIALIZED (
    SELECT r.* FROM unnest(%(queues)s::text[], %(rooms)s::bigint[]) AS q(queue, room)
    CROSS JOIN LATERAL (
        SELECT first.* FROM generate_series({FIRST_PRIORITY}, {LAST_PRIORITY}) AS p(priority)
        CROSS JOIN LATERAL (
            SELECT run_id, scheduled_for FROM runs
            WHERE queue = q.queue AND priority = p.priority::smallint AND claim_at <= (SELECT now FROM clock)
              AND (resend_at IS NULL OR resend_at <= (SELECT now FROM clock))
            ORDER BY claim_at LIMIT q.room FOR UPDATE SKIP LOCKED
        ) AS first
        LIMIT q.room
    ) AS r
    WHERE (SELECT state FROM service) = 'running'
)
UPDATE runs AS r SET resend_at = clock.now + %(again_after)s::interval
FROM to_tell AS t CROSS JOIN clock
WHERE r.run_id = t.run_id AND r.scheduled_for = t.scheduled_for
RETURNING r.run_id::text, r.scheduled_for, r.queue, r.priority, r.claim_at
"""

start_statement = Prepared("start", START, LOCK_SERVICE)
waiting_statement = Prepared("waiting", WAITING)
note_statement = Prepared("note", NOTE, LOCK_SENDERS)


@dataclass(frozen=True, slots=True)
class Doorbell:
    """That a run is queued. `priority`: the lower, the earlier."""

    queue: str
    run_id: str
    scheduled_for: datetime
    priority: int


def start_runs(
    connection: Connection,
    process_no: int,
    told_of: Sequence[RunAt],
    *,
    queues: Sequence[str],
    idle: int,
    holding: Sequence[str],
    lease: timedelta,
    tell: bool = True,
    endings: Sequence[Ending] = (),
) -> Claim:
    """Start those of the runs that are due in one of the `queues`, note them as held by the process, and record the
    `endings`, as `claim_runs` does; beyond the first `idle` ones only such as have never been taken back from a dead
    worker.

    Takes the service lock (shared) and row locks on the runs; leaves runs that others have locked: they are told of
    again.
    """
    rows = start_statement.tuples(
        connection,
        {
            "process_no": process_no,
            "told_of": [run_id for run_id, _ in told_of],
            "fire_times": [fire_time for _, fire_time in told_of],
            "queues": list(queues),
            "idle": idle,
            "holding": list(holding),
            "lease": lease,
            "tell": tell,
        }
        | values_of(endings),
    )
    return claim_from(rows)


def queues_that_wait(connection: Connection) -> dict[str, timedelta]:
    """The queues in which runs wait to be started, and how long until the first of each may be (negative: it is due).
    None while the service is paused."""
    return {row.queue: row.wait for row in waiting_statement.run(connection, {}) if row.wait is not None}


def note_doorbells(connection: Connection, room: Mapping[str, int], again_after: timedelta) -> list[Doorbell]:
    """Note that due runs are about to be told of, in each queue as many as there is room for, and return the doorbells,
    the most urgent first: of runs that nobody has been told of, or that have not started for `again_after` since.

    Takes the lock of the senders, and locks the rows of the runs. Commit before a doorbell is sent: who is told of a
    run that is still locked leaves it.
    """
    values = {"queues": list(room), "rooms": list(room.values()), "again_after": again_after}
    rows = note_statement.run(connection, values)
    urgent = sorted(rows, key=lambda row: (row.priority, row.claim_at))
    return [Doorbell(row.queue, row.run_id, row.scheduled_for, row.priority) for row in urgent]
