"""What doing nothing costs: to a whole service whose next job is a day away, and to a worker that can only wait."""

import http.client
import socket
import time

from benchmarks import fill
from benchmarks.clock import clock_file
from benchmarks.harness import Database, Server, cpu_seconds, database, fetch, process, wait_until
from benchmarks.report import Table

TITLE = "idle: scheduler, worker and API with nothing to do for a minute; a worker whose threads all wait for 10"
REPETITIONS = 3
PRELOAD = "pg_stat_statements"
SECONDS = 60
JOBS = 1_000
THREADS = 8
WAITING = 10
SETTLING = 6
"""Seconds until a worker has forgotten why it woke: more than its slowest poll."""

LONG_RUNS = """
INSERT INTO jobs (job_id, handler, kwargs, state, period, starts_at, next_run_at)
SELECT 'long-' || n, 'Clock', jsonb_build_object('seconds', {seconds}), 'running', interval '1 day', now(), now()
FROM generate_series(1, {number}) AS n;
SELECT pg_notify('bayesian_jobs_jobs', '')
"""

PRELOADED = "SELECT name FROM pg_settings WHERE name = 'shared_preload_libraries' AND setting = 'pg_stat_statements'"
TRANSACTIONS = """
SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()
"""
STATEMENTS = """
SELECT coalesce(sum(calls) FILTER (WHERE query !~* '^(BEGIN|COMMIT|ROLLBACK)$'), 0)::float8,
       coalesce(sum(calls) FILTER (WHERE query ~* '^(BEGIN|COMMIT|ROLLBACK)$'), 0)::float8
FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def measure(server: Server, repetitions: int) -> Table:
    table = Table()
    for _ in range(repetitions):
        with database(server) as bench:
            fill.jobs_ahead(bench, JOBS)
            nothing_due(bench, table)
        with database(server) as bench:
            every_thread_waiting(bench, table)
    return table


def nothing_due(bench: Database, table: Table) -> None:
    counted = count_statements(bench)
    port = free_port()
    with (
        process(bench, "scheduler") as scheduler,
        process(bench, "worker") as worker,
        process(bench, "api", JOBS_PORT=str(port)) as api,
    ):
        wait_until(lambda: is_ready(port), api)
        top = {"scheduler": scheduler, "worker": worker, "API": api, "PostgreSQL": bench.server.postmaster()}
        time.sleep(2)  # let start-up's last work end: what is measured is rest
        if counted:
            fetch(bench, "SELECT pg_stat_statements_reset()")
        (transactions,) = fetch(bench, TRANSACTIONS)
        before = {name: cpu_seconds(process) for name, process in top.items()}
        began = time.monotonic()
        time.sleep(SECONDS)  # how long is measured, not how long something takes
        took = time.monotonic() - began
        for name, process_ in top.items():
            table.note(f"processor, {name}", "% of a core", (cpu_seconds(process_) - before[name]) / took * 100)
        if counted:
            statements, brackets = fetch(bench, STATEMENTS)
            table.note("statements", "per second", (statements - 1) / took)  # one of them counted the transactions
            table.note("BEGIN, COMMIT, ROLLBACK", "per second", brackets / took)
        table.note("transactions", "per second", (fetch(bench, TRANSACTIONS)[0] - transactions - 1) / took)


def every_thread_waiting(bench: Database, table: Table) -> None:
    """A worker with as many sleeping handlers as it has threads has nothing to do either."""
    with (
        clock_file(bench.server.directory) as clock,
        process(bench, "scheduler"),
        process(bench, "worker", "--threads", str(THREADS), **clock.settings) as worker,
    ):
        fetch(bench, LONG_RUNS.format(seconds=SETTLING + WAITING, number=THREADS))
        wait_until(lambda: len(clock.read()) == THREADS)
        time.sleep(SETTLING)
        before, began = cpu_seconds(worker), time.monotonic()
        time.sleep(WAITING - 1)  # it ends before the first handler does
        took = time.monotonic() - began
        table.note(
            "processor, worker with every thread waiting", "% of a core", (cpu_seconds(worker) - before) / took * 100
        )


def count_statements(bench: Database) -> bool:
    """Whether this server counts statements."""
    if fetch(bench, PRELOADED) is None:
        return False
    fetch(bench, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    return True


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/api/v1/readiness")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port
