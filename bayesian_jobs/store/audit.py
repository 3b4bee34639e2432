"""The audit log: who has changed what, written by the transaction that changes it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from bayesian_jobs.domain.audit import SCHEDULER, Action, Author
from bayesian_jobs.store.engine import Transactions
from bayesian_jobs.store.tables import audit_log

OPTION = "author"


@dataclass(frozen=True, slots=True)
class Signed:
    """Transactions whose changes are entered in the audit log as those of `author`."""

    transactions: Transactions
    author: Author

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with self.transactions.begin() as connection:
            yield connection.execution_options(**{OPTION: self.author})


def enter(
    connection: Connection,
    action: Action,
    *,
    job_id: str | None = None,
    run_id: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Enter what this transaction does, as done by who has signed it; a scheduler signs nothing."""
    author: Author = connection.get_execution_options().get(OPTION, SCHEDULER)
    values = {"who": author.who, "origin": author.origin, "action": action, "job_id": job_id, "run_id": run_id}
    connection.execute(insert(audit_log).values(**values, details=dict(details or {})))


def list_entries(
    connection: Connection,
    *,
    job_id: str | None = None,
    who: str | None = None,
    action: str | None = None,
    limit: int,
    after: int | None = None,
) -> list[Mapping[str, Any]]:
    """Entries, the newest first; `after`: the number of the last one already seen."""
    query = select(audit_log).order_by(audit_log.c.entry_no.desc()).limit(limit)
    for column, value in ((audit_log.c.job_id, job_id), (audit_log.c.who, who), (audit_log.c.action, action)):
        if value is not None:
            query = query.where(column == value)
    if after is not None:
        query = query.where(audit_log.c.entry_no < after)
    return [row._asdict() for row in connection.execute(query)]


def delete_old_entries(connection: Connection, retention: timedelta, limit: int) -> int:
    """Delete up to `limit` entries that are older than `retention`."""
    old = select(audit_log.c.entry_no).where(audit_log.c.at < func.clock_timestamp() - retention)
    batch = old.order_by(audit_log.c.at).limit(limit).with_for_update(skip_locked=True)
    return connection.execute(delete(audit_log).where(audit_log.c.entry_no.in_(batch))).rowcount
