"""NOTIFY only wakes: whoever listens looks for itself, and looks without being woken too, only later."""

from collections.abc import Iterable

from sqlalchemy import Connection, text

JOBS_CHANGED = "bayesian_jobs_jobs"
"""Its payload is empty, or HELD."""
HELD = "held"
"""A worker holds runs from now on: somebody has to look whether it lives."""
RUNS = "bayesian_jobs_runs"
"""Its payload is a queue in which something waits, or a run that is to be cancelled."""


def notify_jobs_changed(connection: Connection) -> None:
    """Wake the schedulers when this transaction commits."""
    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": JOBS_CHANGED})


def notify_cancel_requested(connection: Connection, run_id: str) -> None:
    """Wake the worker that executes the run when this transaction commits."""
    connection.execute(text("SELECT pg_notify(:channel, :run_id)"), {"channel": RUNS, "run_id": run_id})


def notify_runs_queued(connection: Connection, queues: Iterable[str]) -> None:
    """Wake the workers of `queues` when this transaction commits."""
    for queue in sorted(set(queues)):
        connection.execute(text("SELECT pg_notify(:channel, :queue)"), {"channel": RUNS, "queue": queue})
