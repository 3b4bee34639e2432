"""How Alembic reaches the database: by the URL that its caller gives, or the one that the settings name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.pool import NullPool

from alembic import context
from bayesian_jobs.embedded.server import EmbeddedPostgres
from bayesian_jobs.settings import load
from bayesian_jobs.store.engine import SESSION, engine_with
from bayesian_jobs.store.migrations import check_server, is_newer, revision_of
from bayesian_jobs.store.tables import metadata

MIGRATION_LOCK = 0x6A6F6273  # "jobs"


@contextmanager
def database() -> Iterator[tuple[str, bool]]:
    """Its URL, and whether a pooler answers there."""
    given = context.config.attributes
    if given.get("url") is not None:
        yield given["url"], given["pooled"]
    elif (settings := load(os.environ)).database_url is not None:
        yield settings.database_url, settings.database_pooled
    else:
        with EmbeddedPostgres.start(settings.data_dir) as server:
            yield server.url, False


def is_ours(name: str | None, type_: str, parent_names: dict[str, str | None]) -> bool:
    """Partitions come and go while the service runs; they are no part of the schema that migrations own."""
    table = parent_names.get("table_name") or ""
    return not (name or "").startswith("runs_p") and not table.startswith("runs_p")


def migrate(url: str, pooled: bool) -> None:
    # All in one transaction behind one lock: whoever comes second waits, and then finds nothing left to do.
    # Its statements may take long, but if this process freezes between them, it must not hold the tables for ever.
    limits = SESSION | {"statement_timeout": "0", "lock_timeout": "0"}
    with engine_with(limits, url, "migrate", pooled=pooled, poolclass=NullPool).begin() as connection:
        check_server(connection)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        if context.config.attributes.get("keep_newer") and is_newer(revision_of(connection)):
            return
        connection.execute(text("SET LOCAL lock_timeout = '2s'"))
        context.configure(connection=connection, target_metadata=metadata, include_name=is_ours)
        with context.begin_transaction():
            context.run_migrations()


with database() as (url, pooled):
    migrate(url, pooled)
