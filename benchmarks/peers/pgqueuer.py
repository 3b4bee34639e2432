# /// script
# dependencies = [
#   "pgqueuer==1.6.0", "asyncpg==0.32.0", "uvloop==0.23.0", "psycopg[binary]==3.3.9", "typer==0.15.4", "click==8.1.8",
# ]
# ///
"""PgQueuer: a queue on PostgreSQL, awaited handlers in one process.

Its own command (`pgq run`) with asyncpg, the faster one of its drivers, and uvloop, which it uses where it is
installed; all tables durable, as it installs them. A batch is what one claim takes and what one statement records: 10
unless told otherwise, and its own benchmarks show more.
https://pgqueuer.readthedocs.io/en/latest/benchmarks/ and https://pgqueuer.readthedocs.io/en/latest/driver/

A job that has ended is deleted from the queue and logged in another table, so that an outcome is kept.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from time import time
from typing import Any

import asyncpg
import psycopg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.peers import errand

ASKED = errand.received()
BEGUN = "SELECT EXISTS (SELECT FROM pgqueuer WHERE status <> 'queued')"
DONE = "SELECT NOT EXISTS (SELECT FROM pgqueuer)"
SUCCEEDED = "SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'"


@asynccontextmanager
async def worker() -> AsyncIterator[PgQueuer]:
    connection = await asyncpg.connect(ASKED.database)
    queue = PgQueuer(AsyncpgDriver(connection))

    @queue.entrypoint("nothing")
    async def nothing(job: Job) -> None:
        return

    @queue.entrypoint("note")
    async def note(job: Job) -> None:
        errand.note(float(job.payload or b"0"))

    yield queue
    await connection.close()


async def install() -> None:
    connection = await asyncpg.connect(ASKED.database)
    await Queries(AsyncpgDriver(connection)).install()
    await connection.close()


async def enqueue(entrypoint: str, payloads: list[bytes | None], after: list[timedelta | None]) -> None:
    connection = await asyncpg.connect(ASKED.database)
    number = len(payloads)
    await Queries(AsyncpgDriver(connection)).enqueue([entrypoint] * number, payloads, [0] * number, after)
    await connection.close()


def main() -> None:
    asyncio.run(install())
    command = ("pgqueuer", "run", f"{__spec__.name}:worker", f"--batch-size={ASKED.options['batch']}")
    with psycopg.connect(ASKED.database, autocommit=True) as session:

        def told(statement: str) -> Any:
            row = session.execute(statement).fetchone()
            return row and row[0]

        if ASKED.measure == "execute":
            asyncio.run(enqueue("nothing", [None] * ASKED.number, [None] * ASKED.number))
            session.execute("ANALYZE")
            with errand.running(*command):
                seconds = errand.seconds_between(lambda: told(BEGUN), lambda: told(DONE))
            errand.answer(done=told(SUCCEEDED), seconds=seconds)
        else:
            with errand.running(*command):
                warm_up(told)
                dues = errand.fire_times(ASKED.number)
                now = time()
                payloads: list[bytes | None] = [repr(due).encode() for due in dues]
                asyncio.run(enqueue("note", payloads, [timedelta(seconds=due - now) for due in dues]))
                errand.wait_until(lambda: told(DONE), every=0.1)
            late = errand.milliseconds_late()
            errand.answer(done=len(late), late=late)


def warm_up(told: Any) -> None:
    """The worker is there when it has taken a job."""
    asyncio.run(enqueue("nothing", [None], [None]))
    errand.wait_until(lambda: told(DONE), every=0.05)


if __name__ == "__main__":
    main()
