"""What an explanation rests on: a job, the service, and who is alive, at one moment."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from bayesian_jobs.domain.datetimes import format_datetime
from bayesian_jobs.domain.job import JobState
from bayesian_jobs.domain.trigger import Once, Trigger
from bayesian_jobs.domain.verdict import Verdict
from bayesian_jobs.lifecycle.define import Job
from bayesian_jobs.store.ledger import Alive
from bayesian_jobs.store.service import Service

LONGEST_QUOTE = 500


class Judged(NamedTuple):
    """A verdict, and the sentences that say why."""

    verdict: Verdict
    words: str


@dataclass(frozen=True, slots=True)
class Facts:
    """`trigger` is None when it cannot be read; `trouble` then says why."""

    connection: Connection
    job: Job
    service: Service
    alive: Alive
    now: datetime
    trigger: Trigger | None
    trouble: str | None

    @property
    def name(self) -> str:
        return f"job {self.job['job_id']!r}"

    @property
    def is_pending(self) -> bool:
        return bool(self.job["state"] == JobState.PENDING)

    @property
    def is_one_off(self) -> bool:
        return isinstance(self.trigger, Once)

    def has_changed_since(self, at: datetime) -> bool:
        return bool(self.job["version"] > 1 and self.job["updated_at"] > at)


def moment(at: datetime) -> str:
    return format_datetime(at)


def paused(since: datetime | None, reason: str | None, until: datetime | None) -> str:
    """`paused since … until … (the reason)`, as far as it is known."""
    parts = ["paused"]
    parts += [f"since {moment(since)}"] if since else []
    parts += [f"until {moment(until)}"] if until else []
    parts += [f"({quoted(reason)})"] if reason else []
    return " ".join(parts)


def job_paused(facts: Facts) -> str:
    if facts.job["error"] is not None:
        return f"set aside, because it cannot be used: {quoted(facts.job['error'])}"
    return paused(facts.job["paused_at"], facts.job["paused_reason"], facts.job["paused_until"])


def service_paused(facts: Facts) -> str | None:
    """None: it runs."""
    state = facts.service
    if state.state == "running":
        return None
    return f"The service is {paused(state.paused_since, state.paused_reason, state.paused_until)}."


def sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def quoted(text: str) -> str:
    """One line, cut where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_QUOTE else f"{line[:LONGEST_QUOTE]}…"
