"""SIGKILL in the middle of work: how soon the runs of a dead worker start again, and what is lost or doubled."""

import time
from contextlib import ExitStack

import psutil

from benchmarks.clock import Begun, ClockFile, clock_file
from benchmarks.harness import Database, Server, database, fetch, process, process_no, wait_until
from benchmarks.report import Table

TITLE = "recovery: two schedulers and two workers of 8 threads; SIGKILL for one of them in the middle of work"
REPETITIONS = 5
PRELOAD = ""
SLEEPING = 8
BURST = 10_000

ONE_OFF = """
INSERT INTO jobs (job_id, handler, kwargs, state, starts_at, next_run_at)
SELECT 'job-' || n, 'Clock', jsonb_build_object('seconds', {seconds}), 'running', now(), now()
FROM generate_series(1, {number}) AS n;
SELECT pg_notify('bayesian_jobs_jobs', '')
"""
EXECUTING = "SELECT count(*) FROM runs WHERE state = 'running'"
BUSIEST = "SELECT worker, count(*) FROM runs WHERE state = 'running' GROUP BY worker ORDER BY count(*) DESC LIMIT 1"
DUE = "SELECT count(*) FROM jobs WHERE state = 'running' AND next_run_at <= now()"
UNSETTLED = "SELECT count(*) FROM jobs WHERE handler = 'Clock' AND state <> 'finished'"
RUNS = "SELECT count(*), count(DISTINCT job_no), count(*) FILTER (WHERE state = 'succeeded') FROM runs"


def measure(server: Server, repetitions: int) -> Table:
    table = Table()
    for _ in range(repetitions):
        for experiment in (kill_worker, kill_scheduler):
            with database(server) as bench, clock_file(server.directory) as clock, ExitStack() as stack:
                settings = clock.settings
                schedulers = [stack.enter_context(process(bench, "scheduler")) for _ in range(2)]
                workers = [
                    stack.enter_context(process(bench, "worker", "--threads", "8", **settings)) for _ in range(2)
                ]
                experiment(bench, clock, schedulers, workers, table)
    return table


def kill_worker(
    bench: Database, clock: ClockFile, schedulers: list[psutil.Popen], workers: list[psutil.Popen], table: Table
) -> None:
    """While it executes runs of one second each; the other worker has threads to spare."""
    fetch(bench, ONE_OFF.format(seconds=1, number=SLEEPING))
    wait_until(lambda: fetch(bench, EXECUTING)[0] == SLEEPING and len(clock.read()) == SLEEPING, every=0.02)
    number, held = fetch(bench, BUSIEST)
    (victim,) = (worker for worker in workers if process_no(bench, worker.pid) == number)
    killed_at = time.time()
    victim.kill()
    wait_until(lambda: fetch(bench, UNSETTLED)[0] == 0)
    again = [(begun.at - killed_at) * 1000 for begun in clock.read() if begun.attempt == 2]
    table.note("worker killed: runs it held", "", held)
    table.note("worker killed: of these begun again, once each", "", len(again))
    table.note("worker killed: until the first begins again", "ms", min(again))
    table.note("worker killed: until the last begins again", "ms", max(again))
    count(bench, clock.read(), "worker killed", SLEEPING, held, table)


def kill_scheduler(
    bench: Database, clock: ClockFile, schedulers: list[psutil.Popen], workers: list[psutil.Popen], table: Table
) -> None:
    """While both dispatch a burst."""
    fetch(bench, ONE_OFF.format(seconds=0, number=BURST))
    wait_until(lambda: fetch(bench, DUE)[0] < BURST, every=0.002)
    schedulers[0].kill()
    table.note("scheduler killed: jobs still due then", "", fetch(bench, DUE)[0])
    wait_until(lambda: fetch(bench, UNSETTLED)[0] == 0)
    count(bench, clock.read(), "scheduler killed", BURST, 0, table)


def count(bench: Database, begun: list[Begun], event: str, jobs: int, taken_back: int, table: Table) -> None:
    """Lost: jobs without a run that succeeded. Doubled: second runs of one job, the same attempt of a run begun
    twice, and attempts beyond those that were taken back from the dead."""
    runs, with_run, succeeded = fetch(bench, RUNS)
    attempts = {(each.run_id, each.attempt) for each in begun}
    table.note(f"{event}: lost", "", jobs - min(with_run, succeeded))
    table.note(f"{event}: doubled", "", runs - with_run + len(begun) - len(attempts) + len(begun) - jobs - taken_back)
