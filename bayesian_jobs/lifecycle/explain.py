"""Explain: why a run did or did not happen at a time, or whether it will, in words and in one word for programs.

The ledger is asked first; only what it does not hold is judged by the job, the service and who is alive. It is one
snapshot of the database, and nothing is changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from bayesian_jobs.domain.datetimes import parse_datetime
from bayesian_jobs.domain.neighbours import INSTANT, latest_before
from bayesian_jobs.domain.trigger import Trigger, next_after
from bayesian_jobs.domain.verdict import Verdict
from bayesian_jobs.errors import Fault, InvalidOptions, InvalidValue, JobNotFound
from bayesian_jobs.lifecycle.define import Job, readable_trigger
from bayesian_jobs.lifecycle.explanation import outlook, recorded
from bayesian_jobs.lifecycle.explanation.facts import Facts, Judged, moment
from bayesian_jobs.store import jobs, ledger, service
from bayesian_jobs.store.engine import database_now

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What there is to say of a job `at` a time. `fire_time`: that very time, if it is one; `previous` and `next` are
    the fire times around it, and `run` is the ledger's record of it."""

    job_id: str
    at: datetime
    now: datetime
    verdict: Verdict
    words: str
    fire_time: datetime | None
    previous: datetime | None
    next: datetime | None
    run: Mapping[str, Any] | None


def explain(engine: Engine, job_id: str, at: str | None = None) -> Explanation:
    """Why the job did or did not run `at` this time (None: now), or whether it will. A time of whole seconds means any
    fire time within that second. Raises JobNotFound, InvalidOptions."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        now = database_now(connection)
        job = jobs.get_job(connection, job_id)
        if job is None:
            raise JobNotFound(job_id)
        return explained(facts_of(connection, job, now), asked(at, now))


def asked(at: str | None, now: datetime) -> datetime:
    """Raises InvalidOptions."""
    try:
        return now if at is None else parse_datetime(at, now)
    except InvalidValue as error:
        raise InvalidOptions([Fault("at", at, str(error))]) from error


def facts_of(connection: Connection, job: Job, now: datetime) -> Facts:
    trigger, trouble = None, None
    try:
        trigger = readable_trigger(job)
    except InvalidOptions as error:
        trouble = str(error)
    alive = ledger.alive(connection, job["queue"])
    return Facts(connection, job, service.read(connection), alive, now, trigger, trouble)


def explained(facts: Facts, at: datetime) -> Explanation:
    last = at if at.microsecond else at + SECOND - INSTANT
    fire_time = fire_time_within(facts, at, last)
    record = ledger.record_of(facts.connection, facts.job["job_no"], fire_time or at, fire_time or last)
    if fire_time is None and record is not None and record["scheduled_for"] < at:
        record = None  # It covers the time, but the job did not fire then.
    previous, following = neighbours(facts, fire_time or at)
    if record is not None or fire_time is not None:
        judged = of_fire_time(facts, fire_time or record["scheduled_for"], record)  # type: ignore[index]
    else:
        judged = of_no_fire_time(facts, at, previous, following)
    return Explanation(
        job_id=facts.job["job_id"],
        at=at,
        now=facts.now,
        verdict=judged.verdict,
        words=judged.words,
        fire_time=fire_time or (record["scheduled_for"] if record and not record["requested"] else None),
        previous=previous,
        next=following,
        run=record,
    )


def fire_time_within(facts: Facts, first: datetime, last: datetime) -> datetime | None:
    planned: datetime | None = facts.job["next_run_at"]
    if planned is not None and first <= planned <= last:
        return planned
    found = next_after(facts.trigger, first, inclusive=True) if facts.trigger else None
    return found if found is not None and found <= last else None


def neighbours(facts: Facts, at: datetime) -> tuple[datetime | None, datetime | None]:
    """The fire times before and after; what is planned counts for one whatever the trigger says."""
    trigger: Trigger | None = facts.trigger
    planned: datetime | None = facts.job["next_run_at"]
    if trigger is None:
        return None, planned if planned is not None and planned > at else None
    following = next_after(trigger, at)
    if planned is not None and facts.now <= at < planned:
        following = planned
    return latest_before(trigger, at), following


def of_fire_time(facts: Facts, fire_time: datetime, record: Mapping[str, Any] | None) -> Judged:
    """What became of a fire time, or will."""
    if record is not None:
        return recorded.of(facts, fire_time, record)
    if fire_time > facts.now:
        return outlook.of(facts, fire_time)
    planned: datetime | None = facts.job["next_run_at"]
    is_planned = planned is not None and fire_time >= planned
    if not is_planned and fire_time < facts.job["created_at"]:
        return Judged(Verdict.BEFORE_THE_JOB, not_yet(facts, fire_time))
    if is_planned or facts.is_pending:
        return outlook.of_passed(facts, fire_time)
    words = f"{moment(fire_time)} has passed, and the ledger holds nothing of it. {lost(facts)}"
    return Judged(Verdict.NOT_RECORDED, words)


def of_no_fire_time(facts: Facts, at: datetime, previous: datetime | None, following: datetime | None) -> Judged:
    if at < facts.job["created_at"]:
        return Judged(Verdict.BEFORE_THE_JOB, " ".join([not_yet(facts, at), *looked_up(facts, following)]))
    if facts.trigger is None:
        return Judged(Verdict.NO_FIRE_TIME, f"The fire times of {facts.name} cannot be computed: {facts.trouble}.")
    before = f"the one before it is {moment(previous)}" if previous else "there is none before it"
    after = f"the next one is {moment(following)}" if following else "there is none after it"
    words = [f"{moment(at)} is no fire time of {facts.name}: {before}, {after}."]
    if at < facts.now and facts.has_changed_since(at):
        words.append(changed(facts))
    if previous is not None and previous <= facts.now:
        words += looked_up(facts, previous)
    return Judged(Verdict.NO_FIRE_TIME, " ".join([*words, *looked_up(facts, following)]))


def looked_up(facts: Facts, fire_time: datetime | None) -> list[str]:
    """A sentence about a neighbour, if there is one."""
    if fire_time is None:
        return []
    record = ledger.record_of(facts.connection, facts.job["job_no"], fire_time, fire_time)
    return [of_fire_time(facts, fire_time, record).words]


def not_yet(facts: Facts, at: datetime) -> str:
    created_at = moment(facts.job["created_at"])
    return f"Job {facts.job['job_id']!r} did not exist at {moment(at)}: it was created at {created_at}."


def lost(facts: Facts) -> str:
    kept = "history is kept for JOBS_RETENTION only"
    return f"{changed(facts)[:-1]}; and {kept}." if facts.job["version"] > 1 else f"Its record is gone: {kept}."


def changed(facts: Facts) -> str:
    at = moment(facts.job["updated_at"])
    return f"The job was changed, paused or resumed since, last at {at}, and may have had other fire times then."
