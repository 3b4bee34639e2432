"""The tokens that entitle to use the API. No secret is here, only digests."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from bayesian_jobs.store.tables import api_tokens as tokens

USE_NOTED_EVERY: Final = timedelta(minutes=10)
MOST_LISTED: Final = 1000

Row = Mapping[str, Any]

PUBLIC = [column for column in tokens.c if column is not tokens.c.digest]
NOW = func.clock_timestamp()
IS_EXPIRED = func.coalesce(tokens.c.expires_at <= NOW, False)
USE_IS_OLD = func.coalesce(tokens.c.last_used_at < NOW - USE_NOTED_EVERY, True)


def insert_token(
    connection: Connection, *, name: str, prefix: str, digest: bytes, scope: str, expires_at: datetime | None
) -> Row | None:
    """The new token, or None if its name is taken, be it by one that has been revoked."""
    values = {"name": name, "prefix": prefix, "digest": digest, "scope": scope, "expires_at": expires_at}
    statement = insert(tokens).values(values).on_conflict_do_nothing(index_elements=["name"]).returning(*PUBLIC)
    row = connection.execute(statement).first()
    return row._asdict() if row else None


def find_token(connection: Connection, prefix: str) -> Row | None:
    """The token with its digest, whether it is_expired, and whether its use_is_old: to be noted again."""
    query = select(tokens, IS_EXPIRED.label("is_expired"), USE_IS_OLD.label("use_is_old"))
    row = connection.execute(query.where(tokens.c.prefix == prefix)).first()
    return row._asdict() if row else None


def list_tokens(connection: Connection) -> list[Row]:
    """All tokens by name, MOST_LISTED at most."""
    query = select(*PUBLIC).order_by(tokens.c.name).limit(MOST_LISTED)
    return [row._asdict() for row in connection.execute(query)]


def revoke_token(connection: Connection, name: str) -> Row | None:
    """Revoke a token for good; one that was revoked before stays so. None: there is none of this name."""
    at = func.coalesce(tokens.c.revoked_at, NOW)
    row = connection.execute(update(tokens).where(tokens.c.name == name).values(revoked_at=at).returning(*PUBLIC))
    found = row.first()
    return found._asdict() if found else None


def note_use(connection: Connection, prefix: str) -> None:
    """Note that a token is in use, unless somebody else is about to. Waits neither for a lock nor for the disk."""
    connection.execute(text("SET LOCAL synchronous_commit = off"))
    old = select(tokens.c.prefix).where(tokens.c.prefix == prefix, USE_IS_OLD).with_for_update(skip_locked=True)
    connection.execute(update(tokens).where(tokens.c.prefix.in_(old)).values(last_used_at=NOW))


def delete_old_tokens(connection: Connection, retention: timedelta, limit: int) -> int:
    """Delete up to `limit` tokens that were revoked, or have expired, longer than `retention` ago."""
    over = func.least(tokens.c.revoked_at, tokens.c.expires_at) < NOW - retention
    batch = select(tokens.c.prefix).where(over).limit(limit).with_for_update(skip_locked=True)
    return connection.execute(delete(tokens).where(tokens.c.prefix.in_(batch))).rowcount
