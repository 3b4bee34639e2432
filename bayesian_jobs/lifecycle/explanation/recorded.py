"""What the ledger tells of a fire time, in words."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bayesian_jobs.domain.job import JobState
from bayesian_jobs.domain.run import RunState
from bayesian_jobs.domain.verdict import Verdict
from bayesian_jobs.lifecycle.explanation.facts import Facts, Judged, moment, quoted, sentence, service_paused
from bayesian_jobs.store import ledger

Run = Mapping[str, Any]


def of(facts: Facts, fire_time: datetime, run: Run) -> Judged:
    return Judged(Verdict[run["state"].upper()], " ".join([told(facts, fire_time, run), *version_of(facts, run)]))


def told(facts: Facts, fire_time: datetime, run: Run) -> str:
    name = named(fire_time, run)
    match RunState[run["state"].upper()]:
        case RunState.QUEUED:
            since = f"is queued since {moment(run['queued_at'])} and does not execute"
            return " ".join([f"{name} {since}.", *why_queued(facts, run)])
        case RunState.RUNNING:
            return executing(facts, name, run)
        case RunState.SUCCEEDED:
            return f"{name} has succeeded: {times(run)}."
        case RunState.FAILED:
            return sentence(f"{name} has failed ({times(run)}): {reason(run)}")
        case RunState.CANCELLED:
            return sentence(f"{name} was cancelled at {moment(run['finished_at'])}: {reason(run)}")
        case RunState.MISSED | RunState.SKIPPED:
            return without_run(name, fire_time, run)


def named(fire_time: datetime, run: Run) -> str:
    if run["requested"]:
        return f"The run that somebody asked for at {moment(fire_time)}"
    return f"The run of {moment(fire_time)}"


def without_run(name: str, fire_time: datetime, run: Run) -> str:
    if run["missed_until"] is None:
        return sentence(f"{name} was {run['state']}: {reason(run)}")
    if run["missed_count"] == 1:
        return sentence(f"{moment(fire_time)} was {run['state']}: {reason(run)}")
    span = f"from {moment(run['scheduled_for'])} to {moment(run['missed_until'])}"
    what = f"is one of {run['missed_count']} fire times, {span}, that were {run['state']}"
    return sentence(f"{moment(fire_time)} {what}: {reason(run)}")


def times(run: Run) -> str:
    parts = [f"started at {moment(run['started_at'])}"] if run["started_at"] else []
    parts += [f"ended at {moment(run['finished_at'])}"] if run["finished_at"] else []
    parts += [f"attempt {run['attempt']}"] if run["attempt"] > 1 else []
    return ", ".join(parts)


def reason(run: Run) -> str:
    return quoted(run["reason"] or "no reason is recorded")


def executing(facts: Facts, name: str, run: Run) -> str:
    words = by_whom(facts, name, run)
    if run["cancel_requested_at"] is None:
        return words
    return f"{words} At {moment(run['cancel_requested_at'])} somebody asked for it to be cancelled."


def by_whom(facts: Facts, name: str, run: Run) -> str:
    worker = ledger.worker(facts.connection, run["worker"])
    what = f"{name} is executed since {moment(run['started_at'])}, attempt {run['attempt']}"
    if worker is None:
        return f"{what}."
    words = f"{what}, by worker {run['worker']} (process {worker.pid} on {worker.hostname})."
    return words if worker.is_alive else f"{words} That worker is not alive any more; the run is about to go back."


def why_queued(facts: Facts, run: Run) -> list[str]:
    """Everything that keeps it from starting, and when it is too late."""
    words = [*held_back(facts, run), *nobody(facts, run)]
    if not words:
        ahead = ledger.runs_ahead(facts.connection, run)
        words = [in_line(run["queue"], ahead)] if ahead else ["A worker is about to take it."]
    grace = facts.job["misfire_grace_time"]
    if grace is not None and not run["begun"]:
        words.append(f"If it has not started by {moment(planned_start(facts, run) + grace)}, it is missed.")
    return words


def planned_start(facts: Facts, run: Run) -> datetime:
    """From when its grace counts."""
    at: datetime = run["scheduled_for"]
    if run["requested"]:
        return at
    return at + ledger.delay_of(facts.connection, facts.job["job_no"], at)


def held_back(facts: Facts, run: Run) -> list[str]:
    words = [paused] if (paused := service_paused(facts)) else []
    if facts.job["state"] != JobState.RUNNING and not run["requested"]:
        words.append(f"The job is {facts.job['state']}: a worker that comes upon it cancels it.")
    if run["claim_at"] > facts.now:
        words.append(awaited(run))
    return words


def awaited(run: Run) -> str:
    at = moment(run["claim_at"])
    if not run["attempt"]:
        return f"It may not start before {at}."
    return f"Attempt {run['attempt']} has ended ({reason(run).rstrip('.')}); the next one may start at {at}."


def nobody(facts: Facts, run: Run) -> list[str]:
    """That no worker takes it, if so."""
    alive = ledger.alive(facts.connection, run["queue"])
    if not alive.workers:
        return ["No worker is alive."]
    if not alive.consumers:
        return [f"None of the workers that are alive ({alive.workers}) takes runs from queue {run['queue']!r}."]
    return []


def in_line(queue: str, ahead: int) -> str:
    number = f"more than {ledger.MOST_AHEAD}" if ahead > ledger.MOST_AHEAD else str(ahead)
    return f"It waits its turn: {number} of queue {queue!r} come before it."


def version_of(facts: Facts, run: Run) -> list[str]:
    then, now = run["job_version"], facts.job["version"]
    if then == now:
        return []
    return [f"The job was changed, paused or resumed since: this is of its version {then}, and it is at {now}."]
