"""From a fire time to the handler, at low load: one scheduler process, one worker process, ten jobs a second."""

import time

from benchmarks.clock import clock_file
from benchmarks.harness import Database, Server, database, fetch, process, wait_until
from benchmarks.report import Table, percentile

TITLE = "lateness: from the fire time on, ten jobs every second, one scheduler and one worker process"
REPETITIONS = 3
PRELOAD = ""
JOBS = 10
SECONDS = 20
LEAD = 3

PHASES = {"spread over the second": "n * interval '97 milliseconds'", "all at once": "interval '0'"}
# Ten jobs whose fire times are the same in every second, the first ones three seconds from now.
FILL = """
INSERT INTO jobs (job_id, handler, state, period, starts_at, next_run_at)
SELECT 'clock-' || n, 'Clock', 'running', interval '1 second', first, first
FROM generate_series(1, {jobs}) AS n,
     LATERAL (SELECT {phase} + date_trunc('second', now()) + interval '3 seconds' AS first) AS f;
SELECT pg_notify('bayesian_jobs_jobs', '')
"""
STOP = "UPDATE jobs SET state = 'paused', version = version + 1"
OPEN = "SELECT count(*) FROM runs WHERE state IN ('queued', 'running')"
RUNS = """
SELECT array_agg(run_id::text), array_agg(extract(epoch FROM scheduled_for)::float8),
       array_agg(extract(epoch FROM queued_at - scheduled_for)::float8 * 1000),
       array_agg(extract(epoch FROM started_at - scheduled_for)::float8 * 1000),
       coalesce(sum(missed_count), 0)
FROM runs WHERE attempt = 1 OR missed_count IS NOT NULL
"""


def measure(server: Server, repetitions: int) -> Table:
    table = Table()
    for _ in range(repetitions):
        for phase in PHASES:
            with database(server) as bench:
                one(bench, phase, table)
    return table


def one(bench: Database, phase: str, table: Table) -> None:
    with (
        clock_file(bench.server.directory) as clock,
        process(bench, "scheduler"),
        process(bench, "worker", **clock.settings),
    ):
        fetch(bench, FILL.format(jobs=JOBS, phase=PHASES[phase]))
        time.sleep(LEAD + SECONDS)  # how long is measured, not how long something takes
        fetch(bench, STOP)
        wait_until(lambda: fetch(bench, OPEN)[0] == 0)
        run_ids, due, queued, started, missed = fetch(bench, RUNS)
        fire_times = dict(zip(run_ids, due, strict=True))
        began = [(begun.at - fire_times[begun.run_id]) * 1000 for begun in clock.read()]
    for name, values in (("run queued", queued), ("run started", started), ("handler begun", began)):
        table.note(f"{name}, median, {phase}", "ms", percentile(values, 0.5))
        table.note(f"{name}, p99, {phase}", "ms", percentile(values, 0.99))
        table.note(f"{name}, worst, {phase}", "ms", max(values))
    table.note(f"runs, {phase}", "", len(began))
    table.note(f"fire times without a run of their own, {phase}", "", float(missed))
