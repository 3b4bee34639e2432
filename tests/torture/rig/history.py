"""A history: all that was seen of one torture, as the checker takes it. Plain data, so that tests can make bad ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rig import evidence

OPEN = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Definition:
    """A job as one transaction, that began at `began`, left it at `at`; `what`: INSERT, UPDATE or DELETE."""

    ticket: int
    began: datetime
    at: datetime
    what: str
    job_no: int
    job_id: str
    version: int
    state: str
    handler: str
    period: timedelta | None
    cron: str | None
    timezone: str
    starts_at: datetime
    ends_at: datetime | None
    grace: timedelta | None
    max_concurrent_runs: int
    next_run_at: datetime | None
    was_next: datetime | None

    @property
    def trigger(self) -> tuple[Any, ...]:
        return self.period, self.cron, self.timezone, self.starts_at, self.ends_at


@dataclass(frozen=True, slots=True)
class Record:
    """A row of the ledger at the end: a run, or a missed or skipped record of `count` fire times up to `until`."""

    run_id: str
    job_no: int
    job_id: str
    job_version: int
    actor: str
    scheduled_for: datetime
    until: datetime
    count: int
    state: str
    requested: bool
    attempt: int
    recoveries: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """A change of a run's state that was committed; `before` None: it was made."""

    ticket: int
    at: datetime
    run_id: str
    scheduled_for: datetime
    job_no: int
    job_version: int
    attempt: int
    requested: bool
    started_at: datetime | None
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A line that a handler wrote, at a monotonic time in nanoseconds."""

    what: str
    run_id: str
    attempt: int
    pid: int
    at: int
    job_id: str


@dataclass(frozen=True, slots=True)
class Call:
    """What a client of the API asked for and was answered; `status` None: it was not, and either may have happened.
    `ticket` was drawn after the answer."""

    what: str
    job_id: str
    begun: int
    ended: int
    status: int | None
    sent: str | None = None
    tag: str | None = None
    ticket: int | None = None
    run_id: str | None = None

    @property
    def acknowledged(self) -> bool:
        return self.status is not None and self.status < 300


@dataclass(slots=True)
class Event:
    """A fault, from its begin until it was healed (monotonic nanoseconds)."""

    what: str
    target: str
    begun: int
    ended: int = 0
    detail: str = ""


@dataclass(slots=True)
class History:
    definitions: list[Definition] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    next_run_at: Mapping[int, datetime | None] = field(default_factory=dict)
    effects: Mapping[str, int] = field(default_factory=dict)
    settled: datetime | None = None
    """All fire times up to this are to be over and done with."""
    seen_until: int = 0
    """Monotonic time before which all that was marked is also in the ledger."""
    wall_minus_monotonic: int = 0
    """Nanoseconds; by it the marks are shown among the rest."""


def read(session: Any, history: History, marks: Path) -> None:
    """Add what the database and the handlers hold; `session` is in autocommit."""
    with session.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        history.definitions = [Definition(*row) for row in rows(cursor, evidence.DEFINITIONS)]
        history.records = [Record(*row) for row in rows(cursor, evidence.RECORDS)]
        history.steps = [Step(*row) for row in rows(cursor, evidence.STEPS)]
        history.next_run_at = dict(rows(cursor, evidence.NEXT))
        history.effects = dict(rows(cursor, evidence.EFFECTS))
        cursor.execute("COMMIT")
    history.marks = read_marks(marks.read_text().splitlines() if marks.exists() else [])


def rows(cursor: Any, query: str) -> list[Any]:
    cursor.execute(query)
    found: list[Any] = cursor.fetchall()
    return found


def read_marks(lines: Iterable[str]) -> list[Mark]:
    parts = (line.split(" ", 5) for line in lines)
    return [Mark(what, run, int(attempt), int(pid), int(at), job) for what, run, attempt, pid, at, job in parts]
