"""The audit log: who has changed what; and how a request signs what it changes."""

from collections.abc import Mapping
from typing import Any

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api import codec, cursors, pages, parameters
from bayesian_jobs.api.filters import AFTER_ENTRY, LIMIT, OF_ACTION, OF_JOB, OF_WHO
from bayesian_jobs.api.operation import ACCESS, operation
from bayesian_jobs.domain.audit import Author
from bayesian_jobs.domain.tokens import Scope
from bayesian_jobs.store import audit as store


def signed(engine: Engine, req: falcon.Request) -> store.Signed:
    """Transactions for what the request changes."""
    caller = req.context.caller
    return store.Signed(engine, Author(caller.who, caller.origin))


class Audit:
    """`/audit`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(
        ACCESS,
        scope=Scope.ADMIN,
        query=(OF_JOB, OF_WHO, OF_ACTION, LIMIT, AFTER_ENTRY),
        answers={200: "AuditLog"},
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Who has changed what, the newest first.

        Each entry was written by the very transaction that made the change, and stays for JOBS_RETENTION.
        """
        values = req.context.query
        limit = parameters.whole_number(values, LIMIT)
        start = cursors.read_entry_cursor(values["after"]) if "after" in values else None
        action = parameters.chosen(values, OF_ACTION)

        def read(count: int, after: int | None) -> list[Mapping[str, Any]]:
            with self.engine.connect() as connection:
                return store.list_entries(
                    connection,
                    job_id=values.get("job_id"),
                    who=values.get("who"),
                    action=action,
                    limit=count,
                    after=after,
                )

        found = pages.rows(read, _position, start, limit + 1)
        resp.data = pages.encode("entries", found, limit, codec.entry, lambda row: cursors.entry_cursor(_position(row)))


def _position(row: Mapping[str, Any]) -> int:
    entry_no: int = row["entry_no"]
    return entry_no
