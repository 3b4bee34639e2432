"""What a torture has shown, in words and figures."""

import os
import platform
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from rig.checker import rejected_ends
from rig.history import Event, History, Step
from rig.timeline import timeline
from rig.torture import Outcome

ON_TIME = timedelta(seconds=1)
SHOWN = 10


def text(outcome: Outcome) -> str:
    return "\n".join([*head(outcome), *figures(outcome), *recoveries(outcome.history), *offenders(outcome)])


def head(outcome: Outcome) -> Iterator[str]:
    order, size = outcome.order, outcome.order.size
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    processes = f"{size.schedulers} schedulers, {size.workers} workers, {size.apis} APIs, {size.transport}"
    yield f"seed {order.seed}, {order.seconds:.0f} s of faults, {order.jobs} jobs, {processes}"
    yield f"{machine}, load {os.getloadavg()[0]:.1f} at the end"
    for line in outcome.impossible:
        yield f"not done on this machine: {line}"


def figures(outcome: Outcome) -> Iterator[str]:
    seen, found = outcome.history, Counter(each.invariant for each in outcome.coverage.violations)
    faults = Counter(event.what for event in seen.events if not event.detail.startswith("could not"))
    states = Counter(record.state for record in seen.records)
    late = [step for step in first_starts(seen)]
    yield f"fire times checked       {outcome.coverage.checked}"
    yield f"lost (I2)                {found['I2']}"
    yield f"doubled (I1)             {found['I1']}"
    yield f"extra (I3)               {found['I3']}"
    yield f"late past grace (I4)     {found['I4']}"
    yield f"not alive (I5)           {found['I5']}"
    yield f"effects not once (I6)    {found['I6']}"
    yield f"not fenced (I7)          {found['I7']}"
    yield f"overlaps (I8)            {found['I8']}"
    yield f"disobeyed (I9)           {found['I9']}"
    yield f"not kept (I10)           {found['I10']}"
    yield f"not bounded (I11)        {found['I11']}"
    yield f"late reports refused     {len(rejected_ends(seen))}"
    yield f"starts                   {len(late)} first, {sum(s.after == 'running' for s in seen.steps)} in all"
    yield f"records                  {listed(states)}"
    yield f"faults                   {listed(faults)}"
    yield f"restarts of PostgreSQL   {outcome.restarts}"
    yield f"COMMIT replies swallowed {outcome.swallowed}"
    yield f"API calls                {listed(Counter(str(call.status or 'no answer') for call in seen.calls))}"
    yield f"ended by themselves      {listed(Counter(code for codes in outcome.endings.values() for code in codes))}"
    yield f"late in calm phases      {lateness(outcome)}"
    for error in outcome.errors:
        yield f"the rig: {error}"


def listed(counts: Counter[str] | Counter[int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in counts.most_common()) or "none"


def first_starts(seen: History) -> Iterator[Step]:
    for step in seen.steps:
        if step.after == "running" and step.attempt == 1 and not step.requested:
            yield step


def lateness(outcome: Outcome) -> str:
    phases = [tuple(at_wall(outcome.history, end) for end in phase) for phase in outcome.calm]
    late = sorted(
        (step.at - step.scheduled_for).total_seconds() * 1000
        for step in first_starts(outcome.history)
        if any(begin <= step.scheduled_for and step.at <= end for begin, end in phases)
    )
    if not late:
        return "no starts there"
    p50, p99 = late[len(late) // 2], late[int(len(late) * 0.99)]
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {late[-1]:.1f} ms, of {len(late)} starts"


def recoveries(seen: History) -> Iterator[str]:
    """How long after each fault the first run started on time."""
    punctual = sorted(step.at for step in first_starts(seen) if timedelta(0) <= step.at - step.scheduled_for < ON_TIME)
    by_kind: dict[str, list[float]] = {}
    for event in seen.events:
        healed = at_wall(seen, event.ended)
        after = next((at for at in punctual if at >= healed), None)
        if after is not None:
            by_kind.setdefault(event.what, []).append((after - healed).total_seconds())
    yield "first run on time again after the end of a fault (others may have been under way):"
    for kind, seconds in sorted(by_kind.items()):
        ordered = sorted(seconds)
        yield f"  {kind:22} median {ordered[len(ordered) // 2]:5.2f} s, worst {ordered[-1]:5.2f} s, of {len(ordered)}"


def offenders(outcome: Outcome) -> Iterator[str]:
    violations = outcome.coverage.violations
    for violation in violations[:SHOWN]:
        yield ""
        yield f"{violation.invariant} {violation.job_id}: {violation.text}"
        yield from (f"    {line}" for line in timeline(outcome.history, violation))
    if len(violations) > SHOWN:
        yield f"… and {len(violations) - SHOWN} more"
    yield "all held" if outcome.held else "NOT HELD"


def event_lines(seen: History, events: Iterable[Event]) -> Iterator[str]:
    for event in events:
        lasted = (event.ended - event.begun) / 1e9
        yield f"{at_wall(seen, event.begun):%H:%M:%S.%f} {event.what} {event.target} {event.detail} ({lasted:.2f} s)"


def at_wall(seen: History, monotonic: int) -> datetime:
    return datetime.fromtimestamp((monotonic + seen.wall_minus_monotonic) / 1e9, UTC)
