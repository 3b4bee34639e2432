"""The failure entries, grouped by what went wrong."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, text

MOST_ENTRIES: Final = 1000
MOST_RUNS: Final = 100
MOST_JOBS: Final = 5

# Ids of entries grow with time, so the index of the entries finds the newest. What differs from one failure to the next
# is usually a number.
GROUPS = text(rf"""
WITH newest AS (
    SELECT job_id, created_at, kwargs ->> 'failed_job_handler' AS handler, kwargs ->> 'failed_job_id' AS failed_job_id,
           kwargs ->> 'run_id' AS run_id,
           left(regexp_replace(split_part(kwargs ->> 'exc_str', E'\n', 1), '\d+', '#', 'g'), 300) AS error
    FROM jobs WHERE handler = 'ErrorHandler' ORDER BY job_id DESC LIMIT {MOST_ENTRIES}
)
SELECT handler, error, count(*) AS count, min(created_at) AS first_at, max(created_at) AS last_at,
       (array_agg(DISTINCT failed_job_id) FILTER (WHERE failed_job_id IS NOT NULL))[1:{MOST_JOBS}] AS job_ids,
       (array_agg(run_id ORDER BY job_id DESC) FILTER (WHERE run_id IS NOT NULL))[1:{MOST_RUNS}] AS run_ids
FROM newest GROUP BY handler, error ORDER BY last_at DESC, handler, error
""")


def groups(connection: Connection) -> list[Mapping[str, Any]]:
    """The newest MOST_ENTRIES entries by handler and error (its first line, each number in it a #), the latest first,
    with some of the jobs and the newest of the runs that failed so."""
    return [row._asdict() for row in connection.execute(GROUPS)]
