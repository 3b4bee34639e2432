"""The limit: the work of the hot paths as one would write it by hand for these very tables, without judging anything.

No grace, no overlap, no missed fire times, no pause, no fencing, no leases: what PostgreSQL has to write in any case,
through psycopg2, each statement prepared and planned as the product's own are.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2.extensions import cursor as Cursor

from benchmarks.harness import Database

DISPATCH = """
PREPARE dispatch(bigint) AS
WITH due AS MATERIALIZED (
    SELECT job_no FROM jobs WHERE state = 'running' AND NOT waiting AND next_run_at <= now()
    ORDER BY next_run_at LIMIT $1 FOR UPDATE SKIP LOCKED
),
advanced AS (
    UPDATE jobs AS j SET next_run_at = j.next_run_at + coalesce(j.period, interval '1 day'),
        last_run_id = bayesian_jobs_uuid7(), last_scheduled_for = j.next_run_at
    FROM due WHERE j.job_no = due.job_no
    RETURNING j.*
),
queued AS (
    INSERT INTO runs (run_id, job_no, job_id, job_version, actor, queue, scheduled_for, state, claim_at)
    SELECT last_run_id, job_no, job_id, version, handler, queue, last_scheduled_for, 'queued', now() FROM advanced
    RETURNING 1
)
SELECT count(*), pg_notify('bayesian_jobs_runs', 'default') FROM queued
"""
CLAIM = """
PREPARE claim(bigint) AS
WITH due AS MATERIALIZED (
    SELECT run_id, scheduled_for, job_no FROM runs WHERE queue = 'default' AND priority = 5 AND claim_at <= now()
    ORDER BY claim_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE runs AS r SET state = 'running', claim_at = NULL, attempt = attempt + 1, started_at = clock_timestamp()
FROM due JOIN jobs AS j ON j.job_no = due.job_no
WHERE r.run_id = due.run_id AND r.scheduled_for = due.scheduled_for
RETURNING r.run_id::text, r.scheduled_for, j.kwargs::text
"""
FINISH = """
PREPARE finish(uuid[], timestamptz[]) AS
UPDATE runs AS r SET state = 'succeeded', finished_at = clock_timestamp()
FROM unnest($1, $2) AS done(run_id, scheduled_for)
WHERE r.run_id = done.run_id AND r.scheduled_for = done.scheduled_for
"""


def dispatch(on: Database, batch: int) -> float:
    """Turn every due job into a run. Returns jobs per second."""
    with cursor(on, DISPATCH) as session:
        began, done, last = time.perf_counter(), 0, batch
        while last:
            session.execute("EXECUTE dispatch(%s)", (batch,))
            ((last, _),) = session.fetchall()
            done += last
        return done / (time.perf_counter() - began)


def execute(on: Database, batch: int) -> float:
    """Claim every queued run and finish it, a batch at a time; the finish of one batch and the claim of the next one
    are one transaction, as in the product. Returns runs per second."""
    with cursor(on, CLAIM, FINISH) as session:
        began, done = time.perf_counter(), 0
        claimed = claim(session, batch, [])
        while claimed:
            done += len(claimed)
            claimed = claim(session, batch, claimed)
        return done / (time.perf_counter() - began)


def claim(session: Cursor, batch: int, finished: list[tuple[str, object]]) -> list[tuple[str, object]]:
    session.execute("BEGIN")
    if finished:
        run_ids, scheduled_fors = zip(*finished, strict=True)
        session.execute("EXECUTE finish(%s::uuid[], %s::timestamptz[])", (list(run_ids), list(scheduled_fors)))
    session.execute("EXECUTE claim(%s)", (batch,))
    rows = session.fetchall()
    session.execute("COMMIT")
    for _, _, kwargs in rows:
        json.loads(kwargs)
    return [(run_id, scheduled_for) for run_id, scheduled_for, _ in rows]


@contextmanager
def cursor(on: Database, *prepared: str) -> Iterator[Cursor]:
    session = on.connect()
    try:
        with session.cursor() as one:
            for statement in prepared:
                one.execute(statement)
            yield one
    finally:
        session.close()
