"""A durable PostgreSQL, databases in it, and the service's real processes: all of them gone when their block ends."""

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from psycopg2.extensions import connection as Session
from sqlalchemy import URL, make_url

from bayesian_jobs.embedded import EmbeddedPostgres
from bayesian_jobs.store import migrations
from bayesian_jobs.store.engine import LOOK_UPS_ONLY, SESSION, connect_arguments
from bayesian_jobs.up.child import leashed

ROOT = Path(__file__).parent.parent
TEMPLATE = "bench_template"
PATIENCE = 120.0
"""Seconds after which something that was waited for is reported as not coming."""
PROCESS_NO = "SELECT process_no FROM processes WHERE pid = %s AND ended_at IS NULL"


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL server that keeps what it commits, with a migrated database to copy."""

    url: URL
    directory: Path

    def postmaster(self) -> psutil.Process:
        (content,) = administrate(self.url, "SELECT pg_read_file('postmaster.pid')")
        return psutil.Process(int(content.splitlines()[0]))


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated database of its own."""

    server: Server
    url: URL

    def connect(self) -> Session:
        """A session in autocommit, which plans as the hot paths of the product do."""
        session = psycopg2.connect(libpq(self.url), **connect_arguments("bench", SESSION | LOOK_UPS_ONLY))
        session.autocommit = True
        return session

    @property
    def text(self) -> str:
        return self.url.render_as_string(hide_password=False)


@contextmanager
def server(preload: str = "") -> Iterator[Server]:
    """The product's embedded PostgreSQL with its own settings; `preload`: a library to load, if the server has it."""
    with tempfile.TemporaryDirectory(prefix="bayesian-jobs-bench-") as name:
        os.chmod(name, 0o711)
        if preload:
            with EmbeddedPostgres.start(Path(name) / "data") as started:
                preload_library(make_url(started.url), preload)
        with EmbeddedPostgres.start(Path(name) / "data") as started:
            url = make_url(started.url)
            administrate(url, f"CREATE DATABASE {TEMPLATE}")
            migrations.upgrade(url.set(database=TEMPLATE).render_as_string(hide_password=False))
            yield Server(url, Path(name))


def preload_library(url: URL, library: str) -> None:
    if administrate(url, f"SELECT name FROM pg_available_extensions WHERE name = '{library}'") is not None:
        administrate(url, f"ALTER SYSTEM SET shared_preload_libraries = '{library}'")


@contextmanager
def database(on: Server) -> Iterator[Database]:
    name = f"bench_{uuid.uuid4().hex}"
    administrate(on.url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    try:
        yield Database(on, on.url.set(database=name))
    finally:
        administrate(on.url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def empty_database(on: Server) -> Iterator[str]:
    """libpq's address of a database with nothing in it, for those who bring a schema of their own."""
    name = f"bench_{uuid.uuid4().hex}"
    administrate(on.url, f"CREATE DATABASE {name}")
    try:
        yield libpq(on.url.set(database=name))
    finally:
        administrate(on.url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def process(of: Database, verb: str, *arguments: str, **settings: str) -> Iterator[psutil.Popen]:
    """`bayesian-jobs <verb>` on the database, until the block ends (or this process does)."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("JOBS_")}
    environ |= {"DATABASE_URL": of.text, "JOBS_HANDLERS": "benchmarks.handlers", **settings}
    log = of.server.directory / f"{verb}-{uuid.uuid4().hex}.log"
    with log.open("wb") as output:
        started = psutil.Popen(
            leashed((sys.executable, "-m", "bayesian_jobs", verb, *arguments)),
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        if verb in ("scheduler", "worker"):
            wait_until(lambda: process_no(of, started.pid) is not None, started, log)
        yield started
    finally:
        end(started)


def end(started: psutil.Popen) -> None:
    """Ask it to stop, and kill it when it does not."""
    if started.poll() is None:
        started.terminate()
    try:
        started.wait(15)
    except psutil.TimeoutExpired:
        started.kill()
        started.wait()


def process_no(of: Database, pid: int) -> int | None:
    row = fetch(of, PROCESS_NO, (pid,))
    return row[0] if row else None


def fetch(of: Database, statement: str, values: Any = None) -> Any:
    """The first row, or None; in a session that lives only for it."""
    return first_row(of.connect(), statement, values)


def wait_until(
    done: Callable[[], object], started: psutil.Popen | None = None, log: Path | None = None, every: float = 0.1
) -> None:
    """Raises TimeoutError after PATIENCE, RuntimeError when the process that it depends on has ended."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        if started is not None and started.poll() is not None:
            raise RuntimeError(f"a process ended: {log.read_text()[-2000:] if log else started}")
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for did not come")
        time.sleep(every)


def cpu_seconds(top: psutil.Process) -> float:
    """The processor time of a process and all below it, those that have ended included."""
    own = top.cpu_times()
    return sum((own.user, own.system, own.children_user, own.children_system, *map(alone, top.children(True))))


def alone(one: psutil.Process) -> float:
    try:
        times: Mapping[str, float] = one.cpu_times()._asdict()
    except psutil.NoSuchProcess:
        return 0.0
    return times["user"] + times["system"]


def administrate(url: URL, statement: str) -> Any:
    """The first row, or None; outside of any transaction, which CREATE DATABASE asks for."""
    session = psycopg2.connect(libpq(url))
    session.autocommit = True
    return first_row(session, statement)


def first_row(session: Session, statement: str, values: Any = None) -> Any:
    """Closes the session."""
    try:
        with session.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchone() if cursor.description else None
    finally:
        session.close()


def libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
