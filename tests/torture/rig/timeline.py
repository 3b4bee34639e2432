"""All that is known about one offender, in the order of time, with the faults around it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from rig.coverage import Violation
from rig.history import History

AROUND = timedelta(seconds=15)
LONGEST = 60


def timeline(seen: History, violation: Violation) -> list[str]:
    """A line for each thing that was seen of the job, near the fire time or the run that the violation is about."""
    about = violation.about or next((s.scheduled_for for s in seen.steps if s.run_id == violation.run_id), None)
    lines = [
        (at, line)
        for at, line in everything(seen, violation)
        if about is None or about - AROUND <= at <= about + 2 * AROUND
    ]
    return [f"{at:%H:%M:%S.%f}  {line}" for at, line in sorted(lines)[:LONGEST]]


def everything(seen: History, violation: Violation) -> Iterator[tuple[datetime, str]]:
    numbers = {each.job_no for each in seen.definitions if each.job_id == violation.job_id}
    yield from in_the_database(seen, numbers)
    yield from outside_of_it(seen, violation.job_id)
    for event in seen.events:
        yield wall(seen, event.begun), f"FAULT {event.what} {event.target} {event.detail}"


def in_the_database(seen: History, numbers: set[int]) -> Iterator[tuple[datetime, str]]:
    for each in seen.definitions:
        if each.job_no in numbers:
            job = f"job {each.job_no} version {each.version} {each.state}, every {each.period}"
            yield each.at, f"[{each.ticket}] {each.what} {job}, next {each.next_run_at}, was {each.was_next}"
    for step in seen.steps:
        if step.job_no in numbers:
            run = f"run {step.run_id} for {step.scheduled_for}, attempt {step.attempt}"
            yield step.at, f"[{step.ticket}] {run}: {step.before or 'made'} → {step.after}"


def outside_of_it(seen: History, job_id: str) -> Iterator[tuple[datetime, str]]:
    for mark in seen.marks:
        if mark.job_id == job_id:
            yield wall(seen, mark.at), f"{mark.what} of {mark.run_id}, attempt {mark.attempt}, pid {mark.pid}"
    for call in seen.calls:
        if call.job_id == job_id:
            tags = f"{call.sent} → {call.tag}"
            yield wall(seen, call.ended), f"API answered {call.status} to {call.what} ({tags}), ticket {call.ticket}"


def wall(seen: History, monotonic: int) -> datetime:
    return datetime.fromtimestamp((monotonic + seen.wall_minus_monotonic) / 1e9, UTC)
