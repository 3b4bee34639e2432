"""Defining jobs, registering default jobs and migrating: what is done whole or not at all, and can be done again."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faulty import Injected
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from bayesian_jobs.domain.audit import Author
from bayesian_jobs.errors import JobExists, JobNotFound, WrongState
from bayesian_jobs.handlers.registry import discover
from bayesian_jobs.lifecycle import define, edit, request
from bayesian_jobs.lifecycle.defaults import register
from bayesian_jobs.lifecycle.dispatch import dispatch_batch
from bayesian_jobs.store import migrations
from bayesian_jobs.store.audit import Signed
from bayesian_jobs.store.engine import make_engine

FILES = Path(__file__).parent / "default_jobs"
CLIENT = Author("client")
TRIES = 3
DONE_ALREADY = (JobExists, JobNotFound, WrongState)
EACH_WEEK = {"handler": "InItsTransaction", "periodically": "1 week"}

ENTERED = "SELECT job_id, action FROM audit_log"
JOBS = "SELECT job_id, job_no, state, version, priority, source FROM jobs"
RUNS = "SELECT job_id, job_no, state, requested FROM runs"
SCHEMA = """
SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod) || a.attnotnull FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'function', proname, '', prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


@contextmanager
def engine_for(url: str) -> Iterator[Engine]:
    engine = make_engine(url, "client")
    try:
        yield engine
    finally:
        engine.dispose()


def rows(url: str, statement: str) -> list[Any]:
    with engine_for(url) as engine, engine.connect() as connection:
        return list(connection.execute(text(statement)))


def insist(do: Callable[[], object]) -> None:
    """As a client does that gets no answer: it asks again."""
    for _ in range(TRIES):
        try:
            do()
            return
        except DONE_ALREADY:
            return
        except (DBAPIError, Injected):
            pass
    raise AssertionError(f"it was refused {TRIES} times")


def define_jobs(url: str) -> None:
    """A job that comes and goes, one that is changed and paused, one that is resumed and run at once."""
    registry = discover(("effects",))
    with engine_for(url) as engine:
        client = Signed(engine, CLIENT)
        for job_id in ("gone", "changed", "run"):
            options = EACH_WEEK | {"job_id": job_id}
            insist(lambda options=options: define.create(client, registry, options))
        with engine.connect() as connection:
            insist(lambda: dispatch_batch(connection))
        insist(lambda: edit.patch(client, registry, "changed", {"priority": 9}))
        insist(lambda: edit.put(client, registry, "put", EACH_WEEK))
        insist(lambda: define.change_state(client, "changed", "paused"))
        insist(lambda: define.change_state(client, "run", "paused"))
        insist(lambda: define.change_state(client, "run", "running"))
        insist(lambda: request.run_now(client, "run"))
        insist(lambda: define.delete(client, "gone"))


def no_change_is_half_done(url: str) -> None:
    """The audit log is written by the transaction of each change, and so it tells what there must be."""
    entered = Counter((job_id, action) for job_id, action in rows(url, ENTERED))
    jobs = {job.job_id: job for job in rows(url, JOBS)}
    for job_id in {job_id for job_id, _ in entered} | set(jobs):
        added, removed = entered[job_id, "job added"], entered[job_id, "job removed"]
        assert (job_id in jobs) == (added - removed == 1), (job_id, entered)
    for job_id, job in jobs.items():
        changes = sum(entered[job_id, what] for what in ("job changed", "job paused", "job resumed"))
        assert job.version == 1 + changes, (job, entered)
        assert (job.priority == 9) == (entered[job_id, "job changed"] > 0), (job, entered)
    for run in rows(url, RUNS):
        assert (run.state == "queued") <= (run.job_id in jobs and jobs[run.job_id].state == "running"), run
    requested = Counter(run.job_id for run in rows(url, RUNS) if run.requested)
    assert requested == Counter({job_id: n for (job_id, action), n in entered.items() if action == "run requested"})


def the_jobs_are_as_they_were_defined(url: str) -> None:
    no_change_is_half_done(url)
    jobs = {job.job_id: (job.state, job.priority) for job in rows(url, JOBS)}
    priority = jobs["put"][1]
    assert jobs == {"changed": ("paused", 9), "run": ("running", priority), "put": ("running", priority)}
    open_runs = Counter(run.job_id for run in rows(url, RUNS) if run.state == "queued")
    assert open_runs["run"] == 1, open_runs


def register_files(url: str) -> None:
    with engine_for(url) as engine:
        registry = discover(("effects",))
        insist(lambda: register(engine, registry, FILES))


def the_files_are_registered(url: str) -> None:
    no_change_is_half_done(url)
    assert sorted(job.job_id for job in rows(url, JOBS)) == sorted(path.stem for path in FILES.glob("*.yaml"))


def migrate(url: str) -> None:
    insist(lambda: migrations.upgrade(url))


def the_schema_is_whole_or_not_there(url: str) -> None:
    """Migrations are all made in one transaction."""
    with connected(url) as connection:
        found = list(connection.execute(text(SCHEMA)))
        assert found == [] or migrations.is_current(connection), found


def the_schema_is_current(url: str) -> None:
    with connected(url) as connection:
        assert migrations.is_current(connection), "the schema is not current"


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
