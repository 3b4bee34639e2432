# /// script
# dependencies = ["apscheduler==3.11.3", "sqlalchemy==2.1.9", "psycopg2-binary==2.9.13"]
# ///
"""APScheduler 3: a scheduler in the process of the handlers, its jobs in PostgreSQL, which its documentation recommends
of all job stores.

A BackgroundScheduler with a SQLAlchemyJobStore and a pool of threads; no misfire grace time, so that it drops nothing.
https://apscheduler.readthedocs.io/en/3.x/userguide.html#choosing-the-right-scheduler-job-store-s-executor-s-and-trigger-s

It has no runs: nothing tells afterwards that a handler was called. A fire time is dealt with when the job's next one is
stored, a transaction each. The jobs are written in bulk, as `add_job` would write them.
"""

import pickle
import time
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import create_engine, func, select

from benchmarks.peers import errand

DONE: list[None] = []


def nothing() -> None:
    DONE.append(None)


def main() -> None:
    asked = errand.received()
    engine = create_engine(asked.database.replace("postgresql://", "postgresql+psycopg2://"), pool_size=10)
    store = SQLAlchemyJobStore(engine=engine)
    scheduler = BackgroundScheduler(
        jobstores={"default": store},
        executors={"default": ThreadPoolExecutor(asked.threads)},
        job_defaults={"misfire_grace_time": None, "coalesce": True},
        timezone=UTC,
    )
    scheduler.start(paused=True)
    if asked.measure == "lateness":
        lateness(scheduler, asked.number)
    else:
        due_at_once(scheduler, store, asked)
    scheduler.shutdown()


def due_at_once(scheduler: BackgroundScheduler, store: SQLAlchemyJobStore, asked: errand.Errand) -> None:
    """For `dispatch` until every job's next fire time is stored, for `burst` until every handler was called as well."""
    fill(scheduler, store, asked.number)
    due = time.time()
    still = select(func.count()).where(store.jobs_t.c.next_run_time <= due)

    def dealt_with() -> bool:
        if asked.measure == "burst" and len(DONE) < asked.number:
            return False
        with store.engine.begin() as connection:
            return connection.execute(still).scalar() == 0

    began = time.perf_counter()
    scheduler.resume()
    errand.wait_until(dealt_with, every=0.05)
    errand.answer(done=len(DONE), seconds=time.perf_counter() - began)


def fill(scheduler: BackgroundScheduler, store: SQLAlchemyJobStore, number: int) -> None:
    now = datetime.now(UTC)
    job = scheduler.add_job(nothing, "interval", hours=1, next_run_time=now)
    state = job.__getstate__()
    rows = [
        {
            "id": f"job-{each}",
            "next_run_time": now.timestamp(),
            "job_state": pickle.dumps({**state, "id": f"job-{each}"}, store.pickle_protocol),
        }
        for each in range(number)
    ]
    with store.engine.begin() as connection:
        connection.execute(store.jobs_t.insert(), rows)
    job.remove()


def lateness(scheduler: BackgroundScheduler, number: int) -> None:
    scheduler.resume()
    for due in errand.fire_times(number):
        scheduler.add_job(errand.note, "date", run_date=datetime.fromtimestamp(due, UTC), args=[due])
    errand.wait_until(lambda: not scheduler.get_jobs(), every=0.1)
    scheduler.shutdown(wait=True)
    late = errand.milliseconds_late()
    scheduler.start()
    errand.answer(done=len(late), late=late)


if __name__ == "__main__":
    main()
