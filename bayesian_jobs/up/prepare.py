"""What has to be true before the first process starts: a database, its schema, the default jobs in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from alembic.util import CommandError
from sqlalchemy.exc import OperationalError

from bayesian_jobs.bootstrap import database
from bayesian_jobs.errors import BayesianJobsError, shortened
from bayesian_jobs.handlers.registry import discover
from bayesian_jobs.lifecycle import defaults
from bayesian_jobs.settings import Settings, without_password
from bayesian_jobs.store import migrations
from bayesian_jobs.store.engine import make_engine


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
    """Raises DatabaseUnreachable, RevisionUnreachable."""
    url = settings.database_url
    assert url is not None
    try:
        migrations.upgrade(url, revision)
    except CommandError as error:
        raise RevisionUnreachable(revision, error) from error
    except OperationalError as error:
        raise DatabaseUnreachable(url, error) from error


def check_defaults(settings: Settings) -> defaults.Report:
    """What can be said of the default jobs' files without a database."""
    return defaults.check(discover(settings.handlers, settings.queues), settings.default_jobs_dir, datetime.now(UTC))


def register_defaults(settings: Settings) -> defaults.Report:
    """Raises DatabaseUnreachable."""
    url = settings.database_url
    assert url is not None
    engine = make_engine(url, "defaults", pool_size=1)
    try:
        with engine.connect() as connection:
            if not migrations.is_current(connection):
                raise SchemaNotCurrent(url)
        return defaults.register(engine, discover(settings.handlers, settings.queues), settings.default_jobs_dir)
    except OperationalError as error:
        raise DatabaseUnreachable(url, error) from error
    finally:
        engine.dispose()
