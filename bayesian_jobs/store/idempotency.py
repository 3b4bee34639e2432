"""The keys under which clients sent requests, each with what was answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from bayesian_jobs.store.tables import idempotency_keys as keys

KEPT: Final = timedelta(hours=24)
"""How long a key stays at least."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`fingerprint` is that of the request; `body` the answer's JSON."""

    fingerprint: str
    status: int
    headers: Mapping[str, str]
    body: str


def claim(connection: Connection, key: str, route: str, fingerprint: str) -> Answer | None:
    """Take the key for this transaction, which then calls `keep`; or the answer that was given under it.

    Waits for another transaction that has the key: until its answer is there, or nothing stayed of it.
    """
    taking = insert(keys).values(key=key, route=route, fingerprint=fingerprint).on_conflict_do_nothing()
    reading = select(keys.c.fingerprint, keys.c.status, keys.c.headers, keys.c.body).where(keys.c.key == key)
    while connection.execute(taking.returning(keys.c.key)).first() is None:
        if row := connection.execute(reading).first():
            return Answer(*row)
    return None


def keep(connection: Connection, key: str, answer: Answer) -> None:
    """Store what is answered to the request that has claimed the key."""
    given = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
    connection.execute(update(keys).where(keys.c.key == key).values(given))


def delete_old_keys(connection: Connection, limit: int) -> int:
    """Delete up to `limit` keys that are older than `KEPT`."""
    old = select(keys.c.key).where(keys.c.created_at < func.clock_timestamp() - KEPT)
    batch = old.order_by(keys.c.created_at).limit(limit).with_for_update(skip_locked=True)
    return connection.execute(delete(keys).where(keys.c.key.in_(batch))).rowcount
