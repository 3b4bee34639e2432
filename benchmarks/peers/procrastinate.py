# /// script
# dependencies = ["procrastinate==3.10.0", "psycopg[binary]==3.3.9"]
# ///
"""Procrastinate: a queue on PostgreSQL, awaited handlers in one process.

Asynchronous tasks, as many at once as its documentation calls concurrency, with as many connections and one to listen.
https://procrastinate.readthedocs.io/en/stable/howto/production/concurrency.html

Its table keeps each job with its state, and another one every change of state, so that an outcome is kept; start and
end are a transaction each. The worker looks for jobs that have become due every `fetch_job_polling_interval` seconds, 5
unless told otherwise.
"""

from datetime import UTC, datetime
from typing import Any

import psycopg
from procrastinate import App, PsycopgConnector

from benchmarks.peers import errand

ASKED = errand.received()
APP = App(
    connector=PsycopgConnector(conninfo=ASKED.database, min_size=ASKED.threads, max_size=ASKED.threads + 1),
)
BEGUN = "SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status <> 'todo')"
DONE = "SELECT NOT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))"
SUCCEEDED = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded' AND attempts = 1"


@APP.task(name="nothing")
async def nothing() -> None:
    return


@APP.task(name="note")
async def note(due: float) -> None:
    errand.note(due)


def main() -> None:
    with APP.open():
        APP.schema_manager.apply_schema()
    worker = ["procrastinate", f"--app={__spec__.name}.APP", "worker", f"--concurrency={ASKED.threads}"]
    with psycopg.connect(ASKED.database, autocommit=True) as session:

        def told(statement: str) -> Any:
            row = session.execute(statement).fetchone()
            return row and row[0]

        if ASKED.measure == "execute":
            with APP.open():
                nothing.batch_defer(*({} for _ in range(ASKED.number)))
            session.execute("ANALYZE")
            with errand.running(*worker):
                seconds = errand.seconds_between(lambda: told(BEGUN), lambda: told(DONE))
            errand.answer(done=told(SUCCEEDED), seconds=seconds)
        else:
            worker.append(f"--fetch-job-polling-interval={ASKED.options['poll']}")
            with errand.running(*worker):
                errand.wait_until(lambda: told("SELECT EXISTS (SELECT FROM procrastinate_workers)"), every=0.05)
                with APP.open():
                    for due in errand.fire_times(ASKED.number):
                        note.configure(schedule_at=datetime.fromtimestamp(due, UTC)).defer(due=due)
                errand.wait_until(lambda: told(DONE), every=0.1)
            late = errand.milliseconds_late()
            errand.answer(done=len(late), late=late)


if __name__ == "__main__":
    main()
