"""What people ask of runs: run a job now, try a run again, cancel one."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.audit import Action
from bayesian_jobs.domain.job import JobState
from bayesian_jobs.domain.json_values import why_not_storable
from bayesian_jobs.domain.run import RunState
from bayesian_jobs.errors import Fault, InvalidOptions, RunNotFound, WrongState
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle.condition import UNCONDITIONAL, Condition
from bayesian_jobs.lifecycle.define import Job, locked
from bayesian_jobs.store import audit, jobs, requests, runs
from bayesian_jobs.store.closing import let_go_on
from bayesian_jobs.store.engine import Transactions

RETRIED = (RunState.FAILED, RunState.CANCELLED, RunState.MISSED)

Run = Mapping[str, Any]
"""A row of `runs`."""


def run_now(engine: Transactions, job_id: str, condition: Condition = UNCONDITIONAL) -> Run:
    """Queue a run of the job that may start at once, whatever the job's state; its schedule stays as it is.

    Raises WrongState while as many runs of the job are queued or executing as it may have, and for a pending job;
    JobNotFound, ConditionFailed.
    """
    with engine.begin() as connection:
        return requested(connection, locked(connection, job_id, condition), None, None)


def retry(engine: Transactions, registry: Registry, run_id: str, kwargs: Mapping[str, Any] | None) -> Run:
    """Run what a run was to do once more, as a run of its own that names the first one; without `kwargs` with its own,
    if it has any, or else with those that its job (or message) has now.

    Raises WrongState for a run that has not failed, was not cancelled or missed, that is being tried again already, or
    whose job is deleted or has as many open runs as it may; InvalidOptions for kwargs that do not fit; RunNotFound.
    """
    run = found(engine, run_id)
    check_retried(run)
    with engine.begin() as connection:
        if run["job_no"] is None:
            check_message(run, kwargs)
            check_not_under_way(connection, run)
            return sent_again(connection, run, kwargs)
        job = jobs.lock_job(connection, run["job_id"])
        if job is None or job["job_no"] != run["job_no"]:
            raise WrongState(f"Run {run_id} cannot be tried again: its job {run['job_id']!r} has been deleted")
        kwargs = run["kwargs"] if kwargs is None else kwargs
        if kwargs is not None and (faults := registry.signature(job["handler"]).validate(kwargs)):
            raise InvalidOptions(faults)
        check_not_under_way(connection, run)
        return requested(connection, job, kwargs, run["run_id"])


def cancel(engine: Transactions, run_id: str) -> Run:
    """Cancel a run. One that is queued never starts. One that executes is interrupted, and counts as executing until
    its worker has told how it ended; it never starts again. Raises WrongState if it has ended; RunNotFound."""
    run = found(engine, run_id)
    with engine.begin() as connection:
        cancelled = requests.cancel(connection, run, reasons.CANCELLED_REQUESTED)
        if cancelled is not None and cancelled["state"] == RunState.CANCELLED and run["job_no"] is not None:
            let_go_on(connection, [run["job_no"]])
        if cancelled is not None:
            audit.enter(connection, Action.RUN_CANCELLED, job_id=run["job_id"], run_id=run["run_id"])
    if cancelled is None:
        raise WrongState(f"Run {run_id} has ended already: it is {found(engine, run_id)['state']}")
    return cancelled


def requested(connection: Connection, job: Job, kwargs: Mapping[str, Any] | None, retry_of: str | None) -> Run:
    if job["state"] == JobState.PENDING:
        raise WrongState(f"Job {job['job_id']!r} is pending: not taken up yet")
    if (count := requests.open_runs_of(connection, job)) >= job["max_concurrent_runs"]:
        which = f"A run of job {job['job_id']!r} is" if count == 1 else f"{count} runs of job {job['job_id']!r} are"
        raise WrongState(f"{which} still queued or executing (the last one: {job['last_run_id']})")
    run = requests.request_run(connection, job, kwargs, retry_of)
    enter_request(connection, run)
    return run


def sent_again(connection: Connection, run: Run, kwargs: Mapping[str, Any] | None) -> Run:
    """Raises RunNotFound if retention has taken the run away meanwhile."""
    again = requests.send_again(connection, run, kwargs)
    if again is None:
        raise RunNotFound(run["run_id"])
    enter_request(connection, again)
    return again


def enter_request(connection: Connection, run: Run) -> None:
    details = {} if run["retry_of"] is None else {"retry_of": run["retry_of"]}
    audit.enter(connection, Action.RUN_REQUESTED, job_id=run["job_id"], run_id=run["run_id"], details=details)


def found(engine: Transactions, run_id: str) -> Run:
    with engine.begin() as connection:
        run = runs.get_run(connection, run_id)
    if run is None:
        raise RunNotFound(run_id)
    return run


def check_retried(run: Run) -> None:
    if run["state"] not in RETRIED:
        raise WrongState(f"Run {run['run_id']} is {run['state']}; only one that is {', '.join(RETRIED)} is tried again")


def check_not_under_way(connection: Connection, run: Run) -> None:
    if (retry := requests.open_retry_of(connection, run)) is not None:
        raise WrongState(f"Run {run['run_id']} is being tried again already, by run {retry}")


def check_message(run: Run, kwargs: Mapping[str, Any] | None) -> None:
    """Raises InvalidOptions for kwargs that cannot be kept; what its actor takes, only its worker knows."""
    if kwargs is not None and (reason := why_not_storable(dict(kwargs))):
        raise InvalidOptions([Fault("kwargs", kwargs, reason)])
