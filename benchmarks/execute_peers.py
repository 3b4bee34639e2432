"""Runs executed by worker processes of this project, and by those of other queues.

How much work a peer gets depends on how fast it is, so that each takes some seconds.
"""

from contextlib import ExitStack

from benchmarks import execute, fill
from benchmarks.beside import THREADS, Company, Peer
from benchmarks.harness import Server, database, fetch, process, wait_until
from benchmarks.report import Table
from benchmarks.services import Services

TITLE = f"execute-peers: queued runs of a handler that does nothing, worker processes of {THREADS} threads"
REPETITIONS = 3
PRELOAD = ""

OURS = {1: "bayesian-jobs", 2: "bayesian-jobs, 2 processes"}
REDIS, DURABLE_REDIS = "redis", "redis, every write on disk"
PEERS = (
    Peer(name="Procrastinate", script="procrastinate", number=2_000),
    Peer(name="PgQueuer, batches of 10", script="pgqueuer", number=8_000, options={"batch": 10}),
    Peer(name="PgQueuer, batches of 100", script="pgqueuer", number=20_000, options={"batch": 100}),
    Peer(name="Graphile Worker", script="graphile_worker", number=30_000),
    Peer(name="pg-boss, batches of 100", script="pg_boss", number=20_000, options={"batch": 100}),
    Peer(name="dramatiq-pg", script="dramatiq_pg", number=2_000),
    Peer(name="dramatiq-postgres", script="dramatiq_postgres", number=4_000),
    Peer(name="Dramatiq on Redis", script="dramatiq_redis", number=6_000, service=REDIS),
    Peer(
        name="Dramatiq on Redis, every write on disk, results kept",
        script="dramatiq_redis",
        number=3_000,
        service=DURABLE_REDIS,
        options={"results": True},
    ),
    Peer(name="Dramatiq on RabbitMQ", script="dramatiq_rabbitmq", number=10_000, service="rabbitmq"),
    Peer(name="Dramatiq on Redis, 2 processes", script="dramatiq_redis", number=12_000, service=REDIS, processes=2),
    Peer(
        name="Dramatiq on RabbitMQ, 2 processes",
        script="dramatiq_rabbitmq",
        number=20_000,
        service="rabbitmq",
        processes=2,
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
