"""What the processes of the service do, and what they find to do: the stories that are broken off at each step."""

from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine, text

from bayesian_jobs import scheduler as scheduler_process
from bayesian_jobs import worker as worker_process
from bayesian_jobs.lifecycle.dispatch import dispatch_batch
from bayesian_jobs.settings import Settings, load
from bayesian_jobs.store import processes
from bayesian_jobs.store.claims import claim_runs
from bayesian_jobs.store.engine import make_engine

NO_FILES = Path(__file__).parent

# Each with a backlog of five fire times, and an end.
JOBS = """
INSERT INTO jobs (job_id, handler, state, period, starts_at, ends_at, next_run_at, catch_up, misfire_grace_time,
                  max_concurrent_runs)
SELECT name, handler, 'running', CASE WHEN name NOT LIKE 'once%' THEN interval '1 second' END, t.at,
       CASE WHEN name NOT LIKE 'once%' THEN t.at + interval '4 seconds' END, t.at, catch_up, grace, concurrent
FROM (VALUES ('latest', 'InItsTransaction', 'latest', NULL::interval, 1),
             ('all', 'InItsTransaction', 'all', interval '1 hour', 1),
             ('several', 'InItsTransaction', 'all', interval '1 hour', 2),
             ('late', 'InItsTransaction', 'latest', interval '1 microsecond', 1),
             ('once', 'InItsTransaction', 'latest', NULL, 1),
             ('once-outside', 'Quiet', 'latest', NULL, 1),
             ('once-fails-once', 'FailsOnce', 'latest', NULL, 1),
             ('once-fails', 'Fails', 'latest', NULL, 1)) AS j (name, handler, catch_up, grace, concurrent),
     (SELECT date_trunc('second', clock_timestamp()) - interval '5 seconds') AS t (at)
"""
PENDING = """
INSERT INTO jobs (job_id, handler, state) VALUES ('pending', 'InItsTransaction', 'pending')
"""
HELD = """
INSERT INTO jobs (job_id, handler, state, starts_at, next_run_at)
SELECT 'once-held-' || n, 'InItsTransaction', 'running', now() - interval '1 minute', now() - interval '1 minute'
FROM generate_series(1, 3) AS n
"""
LAST_PARTITION = """
SELECT inhrelid::regclass::text FROM pg_inherits
WHERE inhparent = 'runs'::regclass AND inhrelid::regclass::text ~ 'runs_p[0-9]+' ORDER BY 1 DESC LIMIT 1
"""


def settings(url: str) -> Settings:
    return load({"DATABASE_URL": url, "JOBS_HANDLERS": "effects", "JOBS_DEFAULT_JOBS_DIR": str(NO_FILES)})


def schedule(url: str) -> None:
    """Be a scheduler until SIGTERM."""
    scheduler_process.run(settings(url))


def work(url: str) -> None:
    """Be a worker until SIGTERM."""
    worker_process.run(settings(url), threads=4, queues=None, actors=())


def prepare_for_scheduler(url: str) -> None:
    """Due jobs, a pending one, runs of a worker that has died (one of them too often), and a partition to make."""
    engine = make_engine(url, "test", hot=True)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE effects (run_id uuid)"))
        connection.execute(text(HELD))
    hold_by_a_dead_worker(engine)
    with engine.begin() as connection:
        connection.execute(text(JOBS))
        connection.execute(text(PENDING))
        connection.execute(text(f"DROP TABLE {connection.scalar(text(LAST_PARTITION))}"))
    engine.dispose()


def hold_by_a_dead_worker(engine: Engine) -> None:
    with engine.connect() as connection:
        dispatch_batch(connection)
    with engine.begin() as connection:
        process_no = processes.register(connection, "worker", timedelta(hours=1))
        lease = timedelta(hours=1)
        claim = claim_runs(connection, process_no, ["default"], 10, holding=[], lease=lease)
        assert len(claim.started) == 3
        connection.execute(text("UPDATE runs SET recoveries = 3 WHERE run_id = :id"), {"id": claim.started[0].run_id})


def prepare_for_worker(url: str) -> None:
    """Queued runs, one of which waits beyond its grace."""
    engine = make_engine(url, "test", hot=True)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE effects (run_id uuid)"))
        connection.execute(text(JOBS))
        connection.execute(text(HELD))
    with engine.connect() as connection:
        dispatch_batch(connection)
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET misfire_grace_time = '1 second' WHERE job_id = 'once-held-1'"))
    engine.dispose()
