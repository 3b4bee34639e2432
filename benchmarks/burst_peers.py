"""Jobs that are all due at one instant, until the last one's handler has been called: beside APScheduler 3.

The project's figure is for 100,000 jobs, each run of which is recorded. APScheduler 3 gets fewer, since it would need
minutes: how many a second it gets through hardly depends on their number.
"""

import time

from benchmarks import fill
from benchmarks.beside import THREADS, Company, Peer
from benchmarks.harness import Server, database, fetch, process, wait_until
from benchmarks.report import Table
from benchmarks.services import Services

JOBS = 100_000
TITLE = f"burst-peers: jobs due at one instant ({JOBS:,} of this project), until the last handler has ended"
REPETITIONS = 3
PRELOAD = ""

OURS = "bayesian-jobs"
PEERS = (Peer(name="APScheduler 3", script="apscheduler3", number=5_000),)
LEFT = """
SELECT EXISTS (SELECT FROM jobs WHERE next_run_at <= now()) OR EXISTS (SELECT FROM runs WHERE finished_at IS NULL)
"""
RUNS = "SELECT count(*) FILTER (WHERE state = 'succeeded'), extract(epoch FROM max(finished_at))::float8 FROM runs"


def measure(server: Server, repetitions: int) -> Table:
    table = Table()
    with Services(server.directory) as services:
        company = Company(PEERS, server, services, table)
        for _ in range(repetitions):
            note(table, OURS, JOBS, ours(server))
            for peer, answer in company.answers("burst"):
                note(table, peer.name, peer.number, answer["seconds"])
    for peer in company.present:
        table.ratio(f"{OURS}: jobs a second", f"{peer.name}: jobs a second")
    return table


def ours(server: Server) -> float:
    """Seconds, through one scheduler process and one worker process."""
    with database(server) as bench:
        fill.burst(bench, JOBS)
        fill.pause(bench)
        with process(bench, "scheduler"), process(bench, "worker", "--threads", str(THREADS)):
            began = time.time()
            fill.open_service(bench)
            wait_until(lambda: not fetch(bench, LEFT)[0], every=0.5)
        succeeded, ended = fetch(bench, RUNS)
    if succeeded != JOBS:
        raise AssertionError(f"{succeeded} of {JOBS} runs succeeded")
    return ended - began


def note(table: Table, name: str, jobs: int, seconds: float) -> None:
    table.note(f"{name}: until the last of {jobs:,} has ended", "s", seconds)
    table.note(f"{name}: jobs a second", "jobs/s", jobs / seconds)
