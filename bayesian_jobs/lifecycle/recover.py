"""Recover: what a dead process held is taken back, within seconds of its death.

A process that dies ends its database session, and with it its advisory lock; that is noticed at the next look, which
comes soon as long as anybody holds runs, and late when nobody does. One that is frozen or cut off lets its lease run
out. Whoever gives a process up takes its runs back in the same transaction; should the process live after all, its late
reports are fenced off by their attempt.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.run import MAX_RECOVERIES
from bayesian_jobs.store import processes
from bayesian_jobs.store.endings import Return, fail_lost_runs, requeue_runs
from bayesian_jobs.store.engine import is_busy
from bayesian_jobs.store.notifications import notify_runs_queued

LOOK_EVERY = timedelta(seconds=0.5)
"""While some process holds runs, or seems to be dead."""
LOOK_AT_REST_EVERY = timedelta(seconds=20)
"""While no process holds anything that could be waited for. One that begins to do so notifies the schedulers."""
PATIENCE = timedelta(seconds=1)
"""How long a session may be missing: long enough to reconnect after a restart of the database."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many runs went back to their queues, and whether the next look is to follow soon."""

    runs: int
    look_soon: bool


def recover(connection: Connection, me: int, patience: timedelta = PATIENCE) -> Recovered:
    """Take back the runs of dead processes; `me` is the process_no that looks. Any number of schedulers may do so at
    once: each dead process is given up by one of them."""
    with connection.begin():
        others = processes.look_at_others(connection, me)
        if not others.any_not_well:
            return Recovered(0, look_soon=others.any_holding)
        processes.note_missing(connection, me)
    with connection.begin():
        dead = processes.find_dead(connection, me, patience)
    return Recovered(sum(recover_from(connection, each, me, patience) for each in dead), look_soon=True)


def recover_from(connection: Connection, process_no: int, me: int, patience: timedelta) -> int:
    """Give up one dead process and take its runs back, in one transaction; if somebody holds what that needs, the next
    look tries again, and the other dead processes do not wait for it."""
    try:
        with connection.begin():
            dead = processes.give_up(connection, process_no, me, patience)
            return take_back(connection, dead) if dead else 0
    except DBAPIError as error:
        if not is_busy(error):
            raise
        log.warning("process %d cannot be given up yet: %s", process_no, error.orig)
        return 0


def take_back(connection: Connection, dead: processes.DeadProcess) -> int:
    """Put the runs of a process that has just been given up back into their queues, or fail those that have been
    taken back too often; those that somebody has asked to cancel end."""
    held = processes.held_runs(connection, dead.process_no, dead.holding)
    hopeless = [run for run in held if run.recoveries >= MAX_RECOVERIES]
    if hopeless:
        fail_lost_runs(
            connection, [(run.run_id, run.scheduled_for, run.attempt) for run in hopeless], reasons.LOST_TOO_OFTEN
        )
    returned = requeue_lost(connection, [run for run in held if run.recoveries < MAX_RECOVERIES])
    log.warning(
        "%s %d (pid %d on %s) is dead; %d of its runs go back to their queues, %d have failed",
        dead.kind,
        dead.process_no,
        dead.pid,
        dead.hostname,
        returned,
        len(hopeless),
    )
    return returned


def requeue_lost(connection: Connection, runs: list[processes.HeldRun]) -> int:
    if not runs:
        return 0
    returns = [Return(run.run_id, run.scheduled_for, run.attempt, reasons.LOST, lost=True) for run in runs]
    queues = requeue_runs(connection, returns)
    notify_runs_queued(connection, queues.values())
    return len(queues)
