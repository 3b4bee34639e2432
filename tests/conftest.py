"""A throw-away PostgreSQL for the whole run, and a database of its own for each test.

One server serves all pytest processes of this user (the last one stops and deletes it). The migrated template
is made once a run; a test's database is a copy of it. `$TEST_DATABASE_URL` names another server to use; its
user must be allowed to create databases.
"""

import os
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from bayesian_jobs.embedded import EmbeddedPostgres

MISSING = "there is no program"
"""In the reason of each skip for want of a program."""
_TEMPLATE_LOCK = 0x6A6F6273  # any number; the key of the advisory lock around making the template


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", type=int, default=500, help="random cases of each test of fire times (default: 500)")
    parser.addoption("--all-fail-points", action="store_true", help="at each fail point, all that can happen there")
    parser.addoption("--seed", type=int, default=0, help="other random cases (default: 0)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where nothing may be missing, a test that would be skipped for want of a program has failed."""
    report = yield
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    if MISSING in reason and os.environ.get("TESTS_NEED_ALL_PROGRAMS"):
        report.outcome, report.longrepr = "failed", reason
    return report


@pytest.fixture(scope="session")
def cases(request: pytest.FixtureRequest) -> int:
    """How many random cases a test shall try."""
    number: int = request.config.getoption("--cases")
    return number


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """What makes them random in the same way each time."""
    number: int = request.config.getoption("--seed")
    return number


@pytest.fixture(scope="session")
def postgres() -> Iterator[Engine]:
    """The server's maintenance database, in autocommit."""
    with _server_url() as url:
        # NullPool: an idle session on a database would keep it from being copied
        engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        yield engine
        engine.dispose()


@pytest.fixture(scope="session")
def template(postgres: Engine, testrun_uid: str) -> Iterator[str]:
    """The name of the migrated database that tests copy; made by the first process, dropped by the last."""
    name = f"template_{testrun_uid[:16]}"
    with postgres.connect() as session:
        session.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _TEMPLATE_LOCK})
        if not session.scalar(text("SELECT EXISTS (SELECT FROM pg_database WHERE datname = :name)"), {"name": name}):
            _make_template(postgres, name)
        session.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _TEMPLATE_LOCK})
        session.execute(text("SELECT pg_advisory_lock_shared(hashtext(:name))"), {"name": name})
        yield name
        session.execute(text("SELECT pg_advisory_unlock_shared(hashtext(:name))"), {"name": name})
        if session.scalar(text("SELECT pg_try_advisory_lock(hashtext(:name))"), {"name": name}):
            session.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def new_database(postgres: Engine, template: str) -> Callable[[], AbstractContextManager[str]]:
    """Makes a migrated database for as long as a block lasts, for what several tests share; gives its URL."""
    return partial(_database, postgres, template)


@pytest.fixture
def database_url(postgres: Engine, template: str) -> Iterator[str]:
    """The URL (postgresql+psycopg2://) of a migrated database that only this test uses."""
    with _database(postgres, template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres: Engine) -> Iterator[str]:
    """The URL (postgresql+psycopg2://) of a database without a schema that only this test uses."""
    with _database(postgres, "template1") as url:
        yield url


@pytest.fixture
def new_empty_database(postgres: Engine) -> Callable[[], AbstractContextManager[str]]:
    """Makes databases without a schema, as many as a test needs."""
    return partial(_database, postgres, "template1")


@contextmanager
def _server_url() -> Iterator[URL]:
    configured = os.environ.get("TEST_DATABASE_URL")
    if configured:
        yield make_url(configured).set(drivername="postgresql+psycopg2")
        return
    with EmbeddedPostgres.start(_data_dir(), durable=False) as server:
        yield make_url(server.url)


def _data_dir() -> Path:
    """The same for all runs of this user: the next one takes over, and deletes, what a killed one left."""
    data_dir = Path(tempfile.gettempdir()) / f"bayesian-jobs-tests-{os.geteuid()}"
    if data_dir.exists() and data_dir.stat().st_uid != os.geteuid():
        raise PermissionError(f"{data_dir} belongs to somebody else")
    return data_dir


def _make_template(postgres: Engine, name: str) -> None:
    """Migrate under another name first: the template exists only once it is complete."""
    from bayesian_jobs.store import migrations

    with postgres.connect() as session:
        session.execute(text(f"DROP DATABASE IF EXISTS {name}_new WITH (FORCE)"))
        session.execute(text(f"CREATE DATABASE {name}_new"))
        migrations.upgrade(_url_of(postgres, f"{name}_new"))
        session.execute(text(f"ALTER DATABASE {name}_new RENAME TO {name}"))


@contextmanager
def _database(postgres: Engine, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    with postgres.connect() as session:
        session.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    try:
        yield _url_of(postgres, name)
    finally:
        with postgres.connect() as session:
            session.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def _url_of(postgres: Engine, database: str) -> str:
    return postgres.url.set(database=database).render_as_string(hide_password=False)
