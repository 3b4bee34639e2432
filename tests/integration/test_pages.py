"""A page of the jobs, or of the runs of one of them, costs what it holds, wherever in a long list it begins."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from bayesian_jobs.store.jobs import list_jobs
from bayesian_jobs.store.runs import list_runs

LONG = 20_000
NEWEST = datetime(2026, 11, 20, tzinfo=UTC)
NO_RUN = "00000000-0000-4000-8000-000000000000"
JOBS = """
INSERT INTO jobs (job_id, handler, state, starts_at, next_run_at, period)
SELECT 'job ' || lpad(n::text, 5, '0'), 'Echo', 'paused', '2100-01-01', '2100-01-01', '1 day'
FROM generate_series(1, :long) AS n
"""
RUNS = """
INSERT INTO runs (run_id, job_no, actor, queue, scheduled_for, state)
SELECT gen_random_uuid(), (SELECT min(job_no) FROM jobs), 'Echo', 'q', :newest - n * interval '1 second', 'succeeded'
FROM generate_series(1, :long) AS n
"""


@pytest.fixture
def connection(service):
    service.execute_sql(JOBS, long=LONG)
    service.execute_sql(RUNS, long=LONG, newest=NEWEST)
    service.execute_sql("ANALYZE jobs, runs")
    with service.engine.connect() as connection:
        for setting in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
            connection.exec_driver_sql(f"SET {setting} = on")
        yield connection


def blocks_read(connection: Connection, listing: Any, **page: Any) -> int:
    """Of the one statement that `listing` makes."""
    made: list[tuple[str, Any]] = []

    def keep(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: Any) -> None:
        made.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", keep)
    try:
        assert len(listing(connection, limit=10, **page)) == 10
    finally:
        event.remove(connection, "before_cursor_execute", keep)
    [(statement, parameters)] = made
    explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
    plan = explained.scalar_one()[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def test_a_page_of_a_list_reads_no_more_than_itself_wherever_it_begins(connection):
    job_no = connection.exec_driver_sql("SELECT min(job_no) FROM jobs").scalar_one()
    for number in (0, LONG // 2, LONG - 20):
        assert blocks_read(connection, list_jobs, after=f"job {number:05}") < 100, number
        after = (NEWEST - timedelta(seconds=number), NO_RUN)
        assert blocks_read(connection, list_runs, job_no=job_no, after=after) < 100, number
        assert blocks_read(connection, list_runs, after=after) < 100, number
