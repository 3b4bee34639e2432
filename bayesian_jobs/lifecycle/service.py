"""The state of the whole service: paused in the database, and so for every replica."""

from sqlalchemy import Engine

from bayesian_jobs.errors import Fault, InvalidOptions, InvalidValue
from bayesian_jobs.lifecycle.options import parse_state
from bayesian_jobs.store import service as store
from bayesian_jobs.store.jobs import queues_with_queued_runs
from bayesian_jobs.store.notifications import notify_jobs_changed, notify_runs_queued


def change_state(engine: Engine, state: str) -> str:
    """Pause the service or set it running again. When this returns, no run is created or started under the state
    that was before; after a pause, what fell due meanwhile is judged like after a downtime. Raises InvalidOptions."""
    try:
        wanted = parse_state(state)
    except InvalidValue as error:
        raise InvalidOptions([Fault("state", state, str(error))]) from error
    with engine.begin() as connection:
        store.change_state(connection, wanted)
        notify_jobs_changed(connection)
        notify_runs_queued(connection, queues_with_queued_runs(connection))
    return str(wanted)
