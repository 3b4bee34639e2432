# /// script
# dependencies = [
#   "apscheduler==4.0.0a6", "sqlalchemy==2.1.9", "asyncpg==0.32.0", "anyio==4.16.0", "sniffio==1.3.1",
#   "greenlet==3.5.6",
# ]
# ///
"""APScheduler 4, a pre-release: schedules and jobs in PostgreSQL, awaited.

An AsyncScheduler that only schedules, with a SQLAlchemyDataStore on asyncpg; one scheduler needs no event broker but
the one in memory that is there by itself.
https://apscheduler.readthedocs.io/en/master/userguide.html#running-schedulers-and-workers-separately

A fire time becomes a job, a row in its table, a transaction each; the schedules follow a hundred at a time. The jobs
are there when the measurement ends, and no worker takes them.
"""

import asyncio
import time

from apscheduler import AsyncScheduler, SchedulerRole
from apscheduler.datastores.sqlalchemy import SQLAlchemyDataStore
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.peers import errand

DUE = "SELECT count(*) FROM schedules WHERE next_fire_time <= clock_timestamp()"
JOBS = "SELECT count(*) FROM jobs"


def nothing() -> None:
    return


async def main() -> None:
    asked = errand.received()
    engine = create_async_engine(asked.database.replace("postgresql://", "postgresql+asyncpg://"))
    async with AsyncScheduler(SQLAlchemyDataStore(engine), role=SchedulerRole.scheduler) as scheduler:
        for each in range(asked.number):
            await scheduler.add_schedule(nothing, IntervalTrigger(hours=1), id=str(each), misfire_grace_time=None)
        began = time.perf_counter()
        await scheduler.start_in_background()
        await asyncio.wait_for(all_dispatched(engine, asked.number), errand.PATIENCE)
        seconds = time.perf_counter() - began
        errand.answer(done=await count(engine, JOBS), seconds=seconds)
        await scheduler.stop()
    await engine.dispose()


async def all_dispatched(engine: AsyncEngine, number: int) -> None:
    while await count(engine, JOBS) < number or await count(engine, DUE):
        await asyncio.sleep(0.05)


async def count(engine: AsyncEngine, statement: str) -> int:
    async with engine.connect() as connection:
        return (await connection.execute(text(statement))).scalar_one()


if __name__ == "__main__":
    asyncio.run(main())
