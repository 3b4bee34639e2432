"""What has to be true before the first process starts: a database, its schema, the default jobs in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from bayesian_jobs.bootstrap import database
from bayesian_jobs.errors import BayesianJobsError, shortened
from bayesian_jobs.handlers.registry import discover
from bayesian_jobs.lifecycle import defaults
from bayesian_jobs.lifecycle.default_files import Directory, read_directory
from bayesian_jobs.settings import Settings
from bayesian_jobs.store import migrations
from bayesian_jobs.store.engine import make_engine
from bayesian_jobs.urls import without_password


class DatabaseUnreachable(BayesianJobsError):
    def __init__(self, url: str, error: OperationalError) -> None:
        reason = " ".join(str(error.orig).split())
        super().__init__(f"The database {without_password(url)} cannot be reached: {reason}")


class SchemaNotCurrent(BayesianJobsError):
    def __init__(self, url: str) -> None:
        super().__init__(f"The schema of {without_password(url)} is not current: run `bayesian-jobs migrate`")


class RevisionUnreachable(BayesianJobsError):
    def __init__(self, revision: str, error: CommandError) -> None:
        super().__init__(f"The schema cannot be brought to revision {shortened(revision)}: {error}")


@contextmanager
def usable_database(settings: Settings) -> Iterator[Settings]:
    """The same for a process that runs alone: nobody else migrates an embedded database, so it does."""
    with database(settings) as (found, embedded):
        if embedded is not None:
            migrate(found)
        yield found


def migrate(settings: Settings, revision: str = "head") -> None:
    """Raises DatabaseUnreachable, RevisionUnreachable, ServerTooOld, TablesBusy."""
    url = settings.database_url
    assert url is not None
    try:
        migrations.upgrade(url, revision, pooled=settings.database_pooled)
    except CommandError as error:
        raise RevisionUnreachable(revision, error) from error
    except OperationalError as error:
        raise DatabaseUnreachable(url, error) from error


def check_defaults(settings: Settings) -> Directory:
    """What can be said of the default jobs' files without a database."""
    registry = discover(settings.handlers, settings.queues)
    return read_directory(settings.default_jobs_dir, registry, datetime.now(UTC))


@contextmanager
def current_database(settings: Settings, process: str) -> Iterator[Engine]:
    """A connection to a database whose schema is current. Raises DatabaseUnreachable, SchemaNotCurrent."""
    url = settings.database_url
    assert url is not None
    engine = make_engine(url, process, pool_size=1, pooled=settings.database_pooled)
    try:
        with engine.connect() as connection:
            if not migrations.is_current(connection):
                raise SchemaNotCurrent(url)
        yield engine
    except OperationalError as error:
        raise DatabaseUnreachable(url, error) from error
    finally:
        engine.dispose()


def register_defaults(settings: Settings, *, prune: bool = False) -> defaults.Report:
    """Raises DatabaseUnreachable, SchemaNotCurrent."""
    with current_database(settings, "defaults") as engine:
        registry = discover(settings.handlers, settings.queues)
        return defaults.register(engine, registry, settings.default_jobs_dir, prune=prune)
