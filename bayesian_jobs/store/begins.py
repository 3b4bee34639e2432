"""When claimed runs begin: one that was claimed ahead of its worker's threads begins within a moment of its claim, or
never by that claim. So whoever changes what is to run waits for that moment; from then on nothing begins as it was.
"""

from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, text

from bayesian_jobs.store.jobs import FIRST_OPEN

BEGIN_WITHIN: Final = timedelta(milliseconds=100)

OF_JOB = text(f"""
SELECT pg_sleep(extract(epoch FROM max(started_at) + :within - clock_timestamp())) FROM runs
WHERE job_no = :open_job_no AND state = 'running' AND scheduled_for >= {FIRST_OPEN}
  AND started_at > clock_timestamp() - :within
""")
OF_ALL = text("""
SELECT pg_sleep(extract(epoch FROM CAST(:within AS interval)))
WHERE EXISTS (SELECT FROM processes WHERE ended_at IS NULL AND holding <> '{}')
""")


def wait_for_begins(connection: Connection, job_no: int) -> None:
    """Until each run of a locked job that has been claimed has begun, or never will by that claim: for BEGIN_WITHIN at
    most, and not at all if none was claimed just now."""
    connection.execute(OF_JOB, {"open_job_no": job_no, "within": BEGIN_WITHIN})


def wait_for_all_begins(connection: Connection) -> None:
    """The same for the runs of all jobs, while nobody can claim any."""
    connection.execute(OF_ALL, {"within": BEGIN_WITHIN})
