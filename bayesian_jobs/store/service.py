"""The state of the whole service: one row."""

from sqlalchemy import Connection, func, select, text, update

from bayesian_jobs.store import locks
from bayesian_jobs.store.tables import service


def read_state(connection: Connection) -> str:
    state: str = connection.execute(select(service.c.state)).scalar_one()
    return state


def change_state(connection: Connection, state: str) -> None:
    """Takes the service lock, exclusive: waits until every transaction that saw the old state has ended, so that
    after the commit no run is created or started under it."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": locks.SERVICE})
    connection.execute(update(service).values(state=state, changed_at=func.clock_timestamp()))
