"""A finding of the doctor, and the words that findings have in common."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from bayesian_jobs.domain.described import Described
from bayesian_jobs.errors import shortened
from bayesian_jobs.lifecycle.explanation.facts import moment
from bayesian_jobs.store.doctor import MOST_COUNTED, Found, Living
from bayesian_jobs.store.service import Service

LONGEST_NAME = 60


class Severity(Described):
    """How much it matters."""

    WRONG = "wrong", "work is not done, or will not be"
    NOTICE = "notice", "somebody should know"


class Finding(NamedTuple):
    """One thing that a check has found: what it is, what to do about it, and how many jobs or runs are concerned (above
    MOST_COUNTED: at least so many), 1 if it is no number of things."""

    check: str
    severity: Severity
    what: str
    remedy: str
    concerns: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What every check may look at: one snapshot of the database, taken at `now`."""

    connection: Connection
    now: datetime
    service: Service
    living: Sequence[Living]

    def alive(self, kind: str) -> int:
        return sum(process.kind == kind for process in self.living)

    def consumers(self, queue: str) -> int:
        """Workers that have said that they take runs from it."""
        return sum(process.kind == "worker" and queue in (process.queues or ()) for process in self.living)

    def is_consumed(self, queue: str) -> bool:
        """Whether a worker takes runs from it; one that has not said from which might."""
        workers = (process for process in self.living if process.kind == "worker")
        return any(worker.queues is None or queue in worker.queues for worker in workers)


Check = Callable[[Facts], Iterator[Finding]]


def wrong(check: str, what: str, remedy: str, count: int = 1) -> Finding:
    return Finding(check, Severity.WRONG, what, remedy, count)


def notice(check: str, what: str, remedy: str, count: int = 1) -> Finding:
    return Finding(check, Severity.NOTICE, what, remedy, count)


def number(found: Found, one: str, many: str) -> str:
    """`1 job is`, `7 jobs are`, `10000+ jobs are`."""
    if found.count > MOST_COUNTED:
        return f"{MOST_COUNTED}+ {many}"
    return f"1 {one}" if found.count == 1 else f"{found.count} {many}"


def since(found: Found) -> str:
    return f"the oldest since {moment(found.oldest)}" if found.oldest else "since when is not known"


def named(found: Found) -> str:
    """The first few, for whoever wants to look."""
    names = ", ".join(shortened(name, LONGEST_NAME) for name in found.names)
    return f"{names}, …" if found.count > len(found.names) else names
