"""The state of the whole service: paused in the database, and so for every replica."""

from hashlib import sha256

from sqlalchemy import Connection

from bayesian_jobs.domain.audit import Action
from bayesian_jobs.domain.job import JobState
from bayesian_jobs.lifecycle.condition import UNCONDITIONAL, Condition
from bayesian_jobs.lifecycle.pauses import parse_change
from bayesian_jobs.store import audit
from bayesian_jobs.store import service as store
from bayesian_jobs.store.begins import wait_for_all_begins
from bayesian_jobs.store.engine import Transactions
from bayesian_jobs.store.jobs import queues_with_queued_runs
from bayesian_jobs.store.notifications import notify_jobs_changed, notify_runs_queued


def tag(service: store.Service) -> str:
    """Changes with the state of the service, and with what is said of a pause."""
    told = f"{service.state} {service.changed_at.timestamp()} {service.paused_until} {service.paused_reason}"
    return sha256(told.encode()).hexdigest()[:16]


def change_state(
    engine: Transactions,
    state: str,
    *,
    reason: str | None = None,
    until: str | None = None,
    condition: Condition = UNCONDITIONAL,
) -> store.Service:
    """Pause the service, for a `reason` and `until` a time if they are given, or set it running again. When this
    returns, no run is created, started or begun under the state that was before; after a pause, what fell due meanwhile
    is judged like after a downtime. Raises InvalidOptions, ConditionFailed."""
    wanted, words = parse_change(engine, state, reason, until)
    with engine.begin() as connection:
        store.lock(connection)
        condition.check_service(tag(store.read(connection)))
        store.change_state(connection, wanted, words.reason, words.until)
        paused = wanted == JobState.PAUSED
        if paused:
            wait_for_all_begins(connection)
        audit.enter(connection, Action.SERVICE_PAUSED if paused else Action.SERVICE_RESUMED, details=words.told)
        wake_everybody(connection)
        return store.read(connection)


def resume_if_over(connection: Connection) -> bool:
    """Set the service running again if it is paused until a time that has passed. Takes the service lock, exclusive,
    only then."""
    with connection.begin():
        if not store.is_pause_over(connection) or not store.end_pause(connection):
            return False
        audit.enter(connection, Action.SERVICE_RESUMED)
        wake_everybody(connection)
        return True


def wake_everybody(connection: Connection) -> None:
    notify_jobs_changed(connection)
    notify_runs_queued(connection, queues_with_queued_runs(connection))
