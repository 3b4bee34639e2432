"""Writing down how runs ended, many at once."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_never

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.domain.run import Failed, HandedBack, Outcome, RetryAt, RunState, Succeeded
from bayesian_jobs.domain.storable import describe_exception
from bayesian_jobs.store.claimed import ClaimedRun
from bayesian_jobs.store.endings import Ending, Return, finish_runs, requeue_runs
from bayesian_jobs.store.engine import is_busy, is_lost
from bayesian_jobs.store.notifications import notify_runs_queued
from bayesian_jobs.store.runs import replace_message

LONGEST_DELAY = timedelta(days=3650)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run; `message`: what its next attempt is to find in it, if that has changed."""

    run: ClaimedRun
    outcome: Outcome
    message: Mapping[str, Any] | None = None


def set_apart(results: Sequence[Result]) -> tuple[list[Ending], list[Result]]:
    """The ends that a claim records on its way, and the results that ask for more than that: what goes back to its
    queue, and the success of a flow's task."""
    endings, apart = [], []
    for result in results:
        written = written_form(result)
        if isinstance(written, Ending) and result.run.flow_id is None:
            endings.append(written)
        else:
            apart.append(result)
    return endings, apart


def record(connection: Connection, results: Sequence[Result]) -> int:
    """Record the results: each changes its run only if the run is still in that attempt. Returns for how many that
    was not so any more."""
    written = [written_form(result) for result in results]
    endings = [each for each in written if isinstance(each, Ending)]
    returns = [each for each in written if isinstance(each, Return)]
    accepted = len(finish_runs(connection, endings)) if endings else 0
    if returns:
        for result in results:
            if result.message is not None:
                replace_message(connection, result.run.run_id, result.run.attempt, result.message)
        queues = requeue_runs(connection, returns)
        notify_runs_queued(connection, queues.values())
        accepted += len(queues)
    return len(results) - accepted


def record_singly(connection: Connection, results: Sequence[Result]) -> list[Result]:
    """Record results that could not be recorded together, each in a transaction of its own, so that none keeps the
    others from being kept. One that the database refuses is recorded as failed, with the refusal. Returns those that
    must wait: somebody holds what they need, or the refusal itself is refused."""
    waiting = []
    for result in results:
        try:
            with connection.begin():
                record(connection, [result])
        except DBAPIError as error:
            if is_lost(error):
                raise
            if is_busy(error) or not record_refusal(connection, result, error):
                waiting.append(result)
    return waiting


def record_refusal(connection: Connection, result: Result, error: DBAPIError) -> bool:
    """False: the database refuses that as well, so that only somebody who mends the database can help."""
    log.error("the outcome of run %s cannot be recorded", result.run.run_id, exc_info=error)
    line, traceback = describe_exception(error)
    refused = Failed(f"Its outcome could not be recorded: {line}", traceback)
    try:
        with connection.begin():
            record(connection, [Result(result.run, refused)])
    except DBAPIError as again:
        if is_lost(again):
            raise
        return False
    return True


def written_form(result: Result) -> Ending | Return:
    run = result.run
    match result.outcome:
        case Succeeded():
            return Ending(run, RunState.SUCCEEDED)
        case Failed(error, traceback):
            return Ending(run, RunState.FAILED, error, traceback)
        case RetryAt(delay, error, traceback):
            delay = min(delay, LONGEST_DELAY)
            return Return(run.run_id, run.scheduled_for, run.attempt, error, delay, traceback, failed=True)
        case HandedBack(reason, delay, begun, lost):
            return Return(run.run_id, run.scheduled_for, run.attempt, reason, delay, lost=lost, begun=begun)
        case _:
            assert_never(result.outcome)
