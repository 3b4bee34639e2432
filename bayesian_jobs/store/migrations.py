"""The schema: bringing it up to date, and telling whether it is.

Old and new processes work side by side while a service is replaced, so each version works on the schema of the next one
too: what a migration adds, the code before it may leave alone.
"""

import logging
import time
from functools import cache
from itertools import count
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg2.errors import LockNotAvailable
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

from alembic import command
from bayesian_jobs.embedded.binaries import OLDEST_MAJOR
from bayesian_jobs.errors import ServerTooOld, TablesBusy

TRY_FOR = 300.0
"""Seconds for which a migration asks for its locks again and again."""
AGAIN_AFTER = 1.0
"""Seconds in which those who waited behind a migration that has not got its locks go on."""

log = logging.getLogger(__name__)


def migrations_dir() -> Path:
    """`alembic/` as the installed package carries it, or of the checkout that the package is imported from."""
    package = Path(__file__).parent.parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "alembic"


def configuration(url: str | None = None, *, pooled: bool = False) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_dir()))
    config.attributes |= {"url": url, "pooled": pooled}
    return config


def check_server(connection: Connection) -> None:
    """Every start goes through a migration, or finds a schema that one has made: so none works on an older server.

    Raises ServerTooOld.
    """
    major = int((connection.dialect.server_version_info or (0,))[0])
    if major < OLDEST_MAJOR:
        raise ServerTooOld(major, OLDEST_MAJOR)


def upgrade(url: str, revision: str = "head", *, pooled: bool = False) -> None:
    """Migrate the database to `revision`; to the newest one only if no newer version of the code has done so before.

    Any number of processes may do so at once: an advisory lock lets one work and the others find nothing left to do.
    While it waits for the lock of a table, everybody else waits behind it: so it waits for two seconds, lets the others
    go on, and tries again. Raises ServerTooOld, and TablesBusy after five minutes; then nothing has changed.
    """
    config = configuration(url, pooled=pooled)
    config.attributes["keep_newer"] = revision == "head"
    give_up = time.monotonic() + TRY_FOR
    for attempt in count():
        try:
            command.upgrade(config, revision)
            return
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
            if time.monotonic() >= give_up:
                raise TablesBusy(TRY_FOR) from error
        if attempt == 0:
            log.warning("others hold tables that the migration needs: trying again for %.0f s", TRY_FOR)
        time.sleep(AGAIN_AFTER)


def downgrade(url: str, revision: str) -> None:
    command.downgrade(configuration(url), revision)


@cache
def known_revisions() -> frozenset[str]:
    return frozenset(each.revision for each in ScriptDirectory.from_config(configuration()).walk_revisions())


@cache
def newest_revision() -> str | None:
    return ScriptDirectory.from_config(configuration()).get_current_head()


def revision_of(connection: Connection) -> str | None:
    """None: the database has no schema of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def is_newer(revision: str | None) -> bool:
    """Whether a newer version of the code has migrated to it: this one does not know it."""
    return revision is not None and revision not in known_revisions()


def is_current(connection: Connection) -> bool:
    """Whether the database has the schema that this code was written for, or a newer one."""
    revision = revision_of(connection)
    return revision == newest_revision() or is_newer(revision)
