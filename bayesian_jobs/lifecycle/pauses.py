"""What a pause of a job or of the service says about itself: why, and until when."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bayesian_jobs.domain.datetimes import format_datetime, parse_datetime
from bayesian_jobs.domain.job import JobState
from bayesian_jobs.errors import Fault, InvalidOptions, InvalidValue
from bayesian_jobs.lifecycle.options import parse_state
from bayesian_jobs.store.engine import Transactions, database_now

LONGEST_REASON = 1000


@dataclass(frozen=True, slots=True)
class Pause:
    """`until` None: it lasts until somebody ends it."""

    reason: str | None = None
    until: datetime | None = None

    @property
    def columns(self) -> dict[str, Any]:
        return {"paused_reason": self.reason, "paused_until": self.until}

    @property
    def told(self) -> dict[str, str]:
        """What somebody has said, as the audit log tells it."""
        said = {"reason": self.reason, "until": None if self.until is None else format_datetime(self.until)}
        return {name: value for name, value in said.items() if value is not None}


NOT_PAUSED = Pause().columns


def parse_change(engine: Transactions, state: str, reason: str | None, until: str | None) -> tuple[JobState, Pause]:
    """The state to change to, and what is said about a pause. Raises InvalidOptions, with everything that is wrong."""
    faults: list[Fault] = []
    wanted = None
    try:
        wanted = parse_state(state)
    except InvalidValue as error:
        faults.append(Fault("state", state, str(error)))
    for option, text in (("reason", reason), ("until", until)):
        if text is not None and wanted == JobState.RUNNING:
            faults.append(Fault(option, text, "is for state=paused"))
    if reason is not None and not 1 <= len(reason.strip()) <= LONGEST_REASON:
        faults.append(Fault("reason", reason, f"must have 1 to {LONGEST_REASON} characters"))
    ends = None
    if until is not None:
        with engine.begin() as connection:
            now = database_now(connection)
        try:
            ends = parse_end(until, now)
        except InvalidValue as error:
            faults.append(Fault("until", until, str(error)))
    if wanted is None or faults:
        raise InvalidOptions(faults)
    return wanted, Pause(reason, ends)


def parse_end(text: str, now: datetime) -> datetime:
    """Raises InvalidValue."""
    until = parse_datetime(text, now)
    if until <= now:
        raise InvalidValue("has passed: a pause ends at a time to come")
    return until
