"""Runs executed by one worker process: claimed, started, given to a handler that does nothing, and recorded."""

import subprocess
import sys

from benchmarks import by_hand, fill
from benchmarks.harness import ROOT, Database, Server, cpu_seconds, database, fetch, process, wait_until
from benchmarks.report import Table

TITLE = "execute: queued runs through one worker process, a handler that does nothing"
REPETITIONS = 5
PRELOAD = ""
RUNS = 20_000
THREADS = (8, 32)
BATCHES = (8, 100)

ANY_WAITING = "SELECT EXISTS (SELECT FROM runs WHERE queue = 'default' AND claim_at IS NOT NULL)"
ANY_RUNNING = "SELECT EXISTS (SELECT FROM runs WHERE state = 'running')"
RATE = """
SELECT count(*) FILTER (WHERE state = 'succeeded' AND attempt = 1),
       count(*) / extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM runs
"""


def measure(server: Server, repetitions: int) -> Table:
    table = Table()
    for _ in range(repetitions):
        for batch in BATCHES:
            with database(server) as bench:
                fill.queued_runs(bench, RUNS)
                table.note(f"by hand, batches of {batch}", "runs/s", by_hand.execute(bench, batch))
                check(bench)
        for threads in THREADS:
            table.note(f"Dramatiq in memory, {threads} threads", "messages/s", in_memory(threads))
        for threads in THREADS:
            with database(server) as bench:
                fill.queued_runs(bench, RUNS)
                worker(bench, threads, table)
    for threads in THREADS:
        table.ratio(name_of(threads), f"Dramatiq in memory, {threads} threads")
        for batch in BATCHES:
            table.ratio(name_of(threads), f"by hand, batches of {batch}")
    return table


def name_of(threads: int) -> str:
    return f"worker process, {threads} threads"


def worker(bench: Database, threads: int, table: Table) -> None:
    """The real process, by the database's own record of it; it is there, and waiting, before it begins."""
    fill.pause(bench)
    postmaster = bench.server.postmaster()
    with process(bench, "worker", "--threads", str(threads)) as started:
        before, server_before = cpu_seconds(started), cpu_seconds(postmaster)
        fill.open_service(bench)
        wait_until(lambda: not fetch(bench, ANY_WAITING)[0], every=0.25)
        wait_until(lambda: not fetch(bench, ANY_RUNNING)[0])
        own, servers = cpu_seconds(started) - before, cpu_seconds(postmaster) - server_before
    table.note(name_of(threads), "runs/s", check(bench))
    table.note(f"processor time a run, worker of {threads} threads", "µs", own / RUNS * 1e6)
    table.note(f"processor time a run, PostgreSQL, {threads} threads", "µs", servers / RUNS * 1e6)


def in_memory(threads: int) -> float:
    command = [sys.executable, "-m", "benchmarks.stub", str(threads), str(RUNS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def check(bench: Database) -> float:
    """Every run must have succeeded, at its first attempt. Returns runs per second."""
    succeeded, rate = fetch(bench, RATE)
    if succeeded != RUNS:
        raise AssertionError(f"{succeeded} of {RUNS} runs succeeded at their first attempt")
    return rate
