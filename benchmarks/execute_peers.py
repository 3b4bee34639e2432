"""Runs executed: by one worker process of this project, and by those of other queues."""

from contextlib import ExitStack

from benchmarks import execute, fill
from benchmarks.beside import THREADS, Company, Peer
from benchmarks.harness import Server, database, fetch, process, wait_until
from benchmarks.report import Table
from benchmarks.services import Services

TITLE = f"execute-peers: queued runs of a handler that does nothing, through one worker process of {THREADS} threads"
REPETITIONS = 3
PRELOAD = ""

OURS = {1: "bayesian-jobs", 2: "bayesian-jobs, 2 processes"}
PEERS = (
    Peer(name="Procrastinate", script="procrastinate", number=2_000),
    Peer(name="Dramatiq on Redis", script="dramatiq_redis", number=8_000, service="redis"),
    Peer(name="Dramatiq on Redis, 2 processes", script="dramatiq_redis", number=16_000, service="redis", processes=2),
    Peer(
        name="Dramatiq on Redis, every write on disk, results kept",
        script="dramatiq_redis",
        number=4_000,
        service="redis, every write on disk",
        options={"results": True},
    ),
)
RUNS = """
SELECT count(*) FILTER (WHERE state = 'succeeded'),
       count(*) / extract(epoch FROM max(finished_at) - min(started_at))::float8,
       (100.0 * count(*) FILTER (WHERE attempt > 1) / count(*))::float8
FROM runs
"""


def measure(server: Server, repetitions: int) -> Table:
    table = Table()
    with Services(server.directory) as services:
        company = Company(PEERS, server, services, table)
        for _ in range(repetitions):
            for processes, name in OURS.items():
                rate, again = ours(server, processes)
                table.note(name, "runs/s", rate)
                table.note(f"{name}: claimed again, since no thread had begun them in time", "% of the runs", again)
            for peer, answer in company.answers("execute"):
                table.note(peer.name, "runs/s", peer.number / answer["seconds"])
    for peer in company.present:
        table.ratio(OURS[peer.processes], peer.name)
    return table


def ours(server: Server, processes: int) -> tuple[float, float]:
    """Runs a second, by the database's own record."""
    with database(server) as bench, ExitStack() as stack:
        fill.queued_runs(bench, execute.RUNS)
        fill.pause(bench)
        for _ in range(processes):
            stack.enter_context(process(bench, "worker", "--threads", str(THREADS)))
        fill.open_service(bench)
        wait_until(lambda: not fetch(bench, execute.ANY_WAITING)[0], every=0.25)
        wait_until(lambda: not fetch(bench, execute.ANY_RUNNING)[0])
        succeeded, rate, again = fetch(bench, RUNS)
    if succeeded != execute.RUNS:
        raise AssertionError(f"{succeeded} of {execute.RUNS} runs succeeded")
    return rate, again
