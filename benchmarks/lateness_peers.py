"""From the time at which a one-off job is due until its handler begins, at low load: beside other queues."""

from benchmarks.beside import Company, Peer
from benchmarks.clock import clock_file
from benchmarks.harness import Server, database, fetch, process, wait_until
from benchmarks.peers.errand import APART, LEAD
from benchmarks.report import Table, percentile
from benchmarks.services import Services

JOBS = 60
TITLE = f"lateness-peers: {JOBS} one-off jobs, one every {APART * 1000:.0f} ms, from when it is due to its handler"
REPETITIONS = 3
PRELOAD = ""

OURS = "bayesian-jobs"
PEERS = (
    Peer(name="APScheduler 3, in the scheduler's process", script="apscheduler3", number=JOBS),
    Peer(name="Procrastinate, polling every 5 s", script="procrastinate", number=JOBS, options={"poll": 5}),
    Peer(name="Procrastinate, polling every 0.1 s", script="procrastinate", number=JOBS, options={"poll": 0.1}),
    Peer(name="PgQueuer", script="pgqueuer", number=JOBS, options={"batch": 10}),
    Peer(name="Graphile Worker, polling every 2 s", script="graphile_worker", number=JOBS, options={"poll": 2_000}),
    Peer(name="Graphile Worker, polling every 0.1 s", script="graphile_worker", number=JOBS, options={"poll": 100}),
)
FILL = """
INSERT INTO jobs (job_id, handler, state, starts_at, next_run_at)
SELECT 'clock-' || n, 'Clock', 'running', due, due
FROM generate_series(1, {jobs}) AS n, LATERAL (SELECT now() + {lead} + {apart} * n AS due) AS d;
SELECT pg_notify('bayesian_jobs_jobs', '')
"""
ENDED = "SELECT count(*) FROM jobs WHERE state = 'finished'"
DUE = "SELECT array_agg(run_id::text), array_agg(extract(epoch FROM scheduled_for)::float8) FROM runs"


def measure(server: Server, repetitions: int) -> Table:
    table = Table()
    with Services(server.directory) as services:
        company = Company(PEERS, server, services, table)
        for _ in range(repetitions):
            note(table, OURS, ours(server))
            for peer, answer in company.answers("lateness"):
                note(table, peer.name, answer["late"])
    return table


def ours(server: Server) -> list[float]:
    """Milliseconds, through a scheduler process and a worker process."""
    with (
        database(server) as bench,
        clock_file(server.directory) as clock,
        process(bench, "scheduler"),
        process(bench, "worker", **clock.settings),
    ):
        fetch(bench, FILL.format(jobs=JOBS, lead=f"interval '{LEAD} s'", apart=f"interval '{APART} s'"))
        wait_until(lambda: fetch(bench, ENDED)[0] == JOBS)
        fire_times = dict(zip(*fetch(bench, DUE), strict=True))
        late = [(begun.at - fire_times[begun.run_id]) * 1000 for begun in clock.read()]
    if len(late) != JOBS:
        raise AssertionError(f"{len(late)} handlers began for {JOBS} jobs")
    return late


def note(table: Table, name: str, late: list[float]) -> None:
    table.note(f"{name}: median", "ms", percentile(late, 0.5))
    table.note(f"{name}: p99", "ms", percentile(late, 0.99))
