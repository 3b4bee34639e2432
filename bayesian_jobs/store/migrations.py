"""The schema: bringing it up to date, and telling whether it is."""

from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from alembic import command
from bayesian_jobs.embedded.binaries import OLDEST_MAJOR
from bayesian_jobs.errors import ServerTooOld


def migrations_dir() -> Path:
    """`alembic/` as the installed package carries it, or of the checkout that the package is imported from."""
    package = Path(__file__).parent.parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "alembic"


def configuration(url: str | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_dir()))
    config.attributes["url"] = url
    return config


def check_server(connection: Connection) -> None:
    """Every start goes through a migration, or finds a schema that one has made: so none works on an older server.

    Raises ServerTooOld.
    """
    major = int((connection.dialect.server_version_info or (0,))[0])
    if major < OLDEST_MAJOR:
        raise ServerTooOld(major, OLDEST_MAJOR)


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the database to `revision`. Any number of processes may do so at once: an advisory lock lets one
    work and the others find nothing left to do. Raises ServerTooOld."""
    command.upgrade(configuration(url), revision)


def downgrade(url: str, revision: str) -> None:
    command.downgrade(configuration(url), revision)


@cache
def newest_revision() -> str | None:
    return ScriptDirectory.from_config(configuration()).get_current_head()


def is_current(connection: Connection) -> bool:
    """Whether the database has the schema that this code was written for."""
    if not inspect(connection).has_table("alembic_version"):
        return False
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == newest_revision()
