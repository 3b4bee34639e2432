"""The state of the whole service: one row."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, case, func, select, text, update

from bayesian_jobs.store import locks
from bayesian_jobs.store.tables import service

IS_OVER = (service.c.state == "paused") & (service.c.paused_until <= func.clock_timestamp())


@dataclass(frozen=True, slots=True)
class Service:
    """Whether the service is running or paused, and since when; what is said of a pause is null while it runs."""

    state: str
    changed_at: datetime
    paused_reason: str | None
    paused_until: datetime | None

    @property
    def paused_since(self) -> datetime | None:
        return self.changed_at if self.state == "paused" else None


def read(connection: Connection) -> Service:
    row = connection.execute(select(service)).one()
    return Service(row.state, row.changed_at, row.paused_reason, row.paused_until)


def change_state(connection: Connection, state: str, reason: str | None = None, until: datetime | None = None) -> None:
    """Takes the service lock, exclusive, unless it is held: waits until every transaction that saw the old state has
    ended, so that after the commit no run is created or started under it."""
    lock(connection)
    since = case((service.c.state == state, service.c.changed_at), else_=func.clock_timestamp())
    values = {"state": state, "changed_at": since, "paused_reason": reason, "paused_until": until}
    connection.execute(update(service).values(values))


def is_pause_over(connection: Connection) -> bool:
    """Whether the service is paused until a time that has passed."""
    return bool(connection.execute(select(service.c.id).where(IS_OVER)).scalar())


def end_pause(connection: Connection) -> bool:
    """Set the service running again if its pause is over; takes the service lock, exclusive. False: somebody else has
    changed the state meanwhile."""
    lock(connection)
    running = {"state": "running", "changed_at": func.clock_timestamp(), "paused_reason": None, "paused_until": None}
    return connection.execute(update(service).where(IS_OVER).values(running)).rowcount == 1


def lock(connection: Connection) -> None:
    """Take the service lock, exclusive, until the transaction ends; what is read from then on stays as it is."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": locks.SERVICE})
