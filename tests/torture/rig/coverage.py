"""I1, I2, I3: every fire time that has passed is in exactly one record, and no record is of anything else. What the
fire times are, an oracle says that shares no code with the service."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from fire_time_oracle import Every, FireTimes, Listed, Stretch

from rig.history import Definition, History, Record

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
PAST, FAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Violation:
    invariant: str
    job_id: str
    text: str
    run_id: str | None = None
    about: datetime | None = None


@dataclass(slots=True)
class Segment:
    """The time in which a job had one trigger, from its first fire time on. Those up to `surely` must be accounted for,
    those up to `perhaps` may be."""

    definition: Definition
    first: datetime
    surely: datetime
    perhaps: datetime


@dataclass(slots=True)
class Coverage:
    checked: int
    violations: list[Violation]


def check(history: History) -> Coverage:
    records: dict[int, list[Record]] = defaultdict(list)
    for record in history.records:
        if not record.requested:
            records[record.job_no].append(record)
    made = {step.run_id: step.ticket for step in history.steps if step.before is None}
    coverage = Coverage(0, [])
    definitions: dict[int, list[Definition]] = defaultdict(list)
    for definition in history.definitions:
        definitions[definition.job_no].append(definition)
    for job_no, known in definitions.items():
        check_job(history, known, records.pop(job_no, []), made, coverage)
    for left in records.values():
        coverage.violations += [extra(record, "it is of no job that was ever defined") for record in left]
    return coverage


def check_job(
    history: History, known: list[Definition], records: list[Record], made: Mapping[str, int], coverage: Coverage
) -> None:
    """`made`: the ticket of each record."""
    segments = list(segments_of(history, known))
    by_segment: list[list[Record]] = [[] for _ in segments]
    for record in records:
        index = segment_of(segments, record)
        if index is None:
            coverage.violations.append(extra(record, "its job never had such fire times"))
        else:
            by_segment[index].append(record)
    for segment, its in zip(segments, by_segment, strict=True):
        ticket = segment.definition.ticket
        already = max((each.until for each in records if made.get(each.run_id, ticket) < ticket), default=PAST)
        check_segment(segment, its, already, coverage)
    last = known[-1]
    due = history.next_run_at.get(last.job_no)
    if history.settled and last.what != "DELETE" and last.state == "running" and due and due <= history.settled:
        text = f"the job stands still: its fire time {due} is not accounted for"
        coverage.violations.append(Violation("I2", last.job_id, text, about=due))


def segment_of(segments: list[Segment], record: Record) -> int | None:
    """By its time, and not by its version: a queued run is taken along when its job is edited."""
    fitting = [
        index
        for index, segment in enumerate(segments)
        if segment.first <= record.scheduled_for <= segment.perhaps and is_fire_time(segment, record.scheduled_for)
    ]
    return fitting[-1] if fitting else None


def is_fire_time(segment: Segment, time: datetime) -> bool:
    times = fire_times(segment.definition)
    return times.at(times.first_from(time)) == time


def segments_of(history: History, known: list[Definition]) -> Iterator[Segment]:
    begun: Definition | None = None
    for definition in known:
        if definition.state == "pending" and definition.what != "DELETE":
            continue
        if begun is not None and (definition.what == "DELETE" or definition.trigger != begun.trigger):
            yield ended(begun, definition)
            begun = None
        if definition.what != "DELETE" and begun is None:
            begun = definition
    if begun is not None:
        bound = history.next_run_at.get(begun.job_no)
        before = bound - INSTANT if bound else FAR
        if begun.next_run_at is not None:
            yield Segment(begun, begun.next_run_at, before, before)


def ended(begun: Definition, by: Definition) -> Segment:
    """A trigger that was replaced has accounted for what was due when that transaction began, and perhaps for what
    became due until it was over; one whose job was deleted, for what had been dispatched."""
    dispatched = (by.was_next or FAR) - INSTANT
    surely = perhaps = dispatched
    if by.what != "DELETE" and by.was_next is not None:
        surely = by.began if by.was_next <= by.began else dispatched
        perhaps = max(by.at, dispatched)
    return Segment(begun, begun.next_run_at or FAR, surely, perhaps)


def check_segment(segment: Segment, records: list[Record], already: datetime, coverage: Coverage) -> None:
    """`already`: the last fire time of the job that was accounted for when the segment began. It lies ahead of that
    moment if the database's clock has been set back."""
    job = segment.definition
    times = fire_times(job)
    begin = times.first_from(segment.first)
    if times.at(begin) != segment.first:
        text = f"the first fire time was to be {segment.first}, which is none"
        coverage.violations.append(Violation("I3", job.job_id, text, about=segment.first))
    elif begin > 0 and (before := times.at(begin - 1)) is not None and before > max(job.at, already):
        text = f"the first fire time was to be {segment.first}, but {before} comes before"
        coverage.violations.append(Violation("I2", job.job_id, text, about=before))
    covered: Counter[int] = Counter()
    for record in records:
        index = times.first_from(record.scheduled_for)
        if times.at(index) != record.scheduled_for or times.at(index + record.count - 1) != record.until:
            coverage.violations.append(extra(record, f"of {record.count} fire times up to {record.until}"))
        else:
            covered.update(range(index, index + record.count))
    surely = set(range(begin, end_of(times, segment.surely)))
    perhaps = set(range(begin, end_of(times, segment.perhaps)))
    coverage.checked += len(surely)
    for invariant, indexes, text in (
        ("I2", surely - covered.keys(), "is in no record: lost"),
        ("I3", covered.keys() - perhaps - surely, "has a record before its time, or before its job had it"),
        ("I1", {index for index, count in covered.items() if count > 1}, "is in more than one record: doubled"),
    ):
        for index in sorted(indexes):
            at = times.at(index)
            coverage.violations.append(Violation(invariant, job.job_id, f"fire time {at} {text}", about=at))


def end_of(times: FireTimes, last: datetime) -> int:
    """The index after that of the last fire time not after `last`."""
    if isinstance(times, Every) and last >= FAR - INSTANT:
        raise ValueError("an interval ends nowhere; its job must have a next fire time")
    index = times.first_from(last)
    return index + (times.at(index) == last)


def fire_times(job: Definition) -> FireTimes:
    if job.period is not None:
        return Every(job.starts_at, job.period)
    if job.cron is None:
        return Listed([job.starts_at], FAR)
    day = job.starts_at.replace(hour=0, minute=0, second=0, microsecond=0)
    every = listed(job.cron, job.timezone, day - DAY)
    return Listed([time for time in every.times if time >= job.starts_at], every.end)


@lru_cache(maxsize=256)
def listed(expression: str, zone: str, first: datetime) -> Listed:
    return stretch(zone, first).fire_times(expression)


@lru_cache(maxsize=8)
def stretch(zone: str, first: datetime) -> Stretch:
    return Stretch(zone, first, first + 5 * DAY)


def extra(record: Record, text: str) -> Violation:
    words = f"a record ({record.state}) for {record.scheduled_for}: {text}"
    return Violation("I3", record.job_id, words, record.run_id, record.scheduled_for)
