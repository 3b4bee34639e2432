"""Due jobs turned into runs: by the scheduler, and by the one statement that one would write by hand."""

import time

from bayesian_jobs.lifecycle.dispatch import BATCH, dispatch_batch
from bayesian_jobs.store.engine import make_engine
from benchmarks import by_hand, fill
from benchmarks.harness import Database, Server, database, fetch, process, wait_until
from benchmarks.report import Table

TITLE = f"dispatch: due jobs turned into runs by one scheduler, batches of {BATCH}"
REPETITIONS = 5
PRELOAD = ""
JOBS = 20_000

ANY_DUE = "SELECT EXISTS (SELECT FROM jobs WHERE state = 'running' AND next_run_at <= now())"
# From the first batch's begin to the last one's, in which all batches but the last were settled.
RATE = """
SELECT count(*), (count(*) FILTER (WHERE queued_at < last)) / nullif(extract(epoch FROM last - first), 0)::float8
FROM runs, (SELECT min(queued_at) AS first, max(queued_at) AS last FROM runs) AS t GROUP BY first, last
"""


def measure(server: Server, repetitions: int) -> Table:
    table = Table()
    for _ in range(repetitions):
        for crons, kind in ((0, "intervals"), (JOBS // 2, "half cron")):
            for name, way in (("by hand", hand), ("dispatch_batch", batches), ("scheduler process", scheduler)):
                with database(server) as bench:
                    fill.due_jobs(bench, JOBS, crons=crons)
                    table.note(f"{name}, {kind}", "jobs/s", way(bench))
    for kind in ("intervals", "half cron"):
        for name in ("dispatch_batch", "scheduler process"):
            table.ratio(f"{name}, {kind}", f"by hand, {kind}")
    return table


def hand(bench: Database) -> float:
    rate = by_hand.dispatch(bench, BATCH)
    check(bench)
    return rate


def batches(bench: Database) -> float:
    """What the scheduler calls, in this process."""
    engine = make_engine(bench.text, "bench", hot=True)
    began = time.perf_counter()
    with engine.connect() as connection:
        while dispatch_batch(connection) is not None:
            pass
    took = time.perf_counter() - began
    engine.dispose()
    check(bench)
    return JOBS / took


def scheduler(bench: Database) -> float:
    """The real process, by its own batches' times; it is there, and waiting, before it begins."""
    fill.pause(bench)
    with process(bench, "scheduler"):
        fill.open_service(bench)
        wait_until(lambda: not fetch(bench, ANY_DUE)[0])
    return check(bench)


def check(bench: Database) -> float:
    """Every job must have got its run, whoever made it. Returns runs per second."""
    number, rate = fetch(bench, RATE)
    if number != JOBS:
        raise AssertionError(f"{number} runs came of {JOBS} jobs")
    return rate
