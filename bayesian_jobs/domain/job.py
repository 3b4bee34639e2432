"""A job: its states, and what a user asked for once it has been validated."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

from bayesian_jobs.domain.trigger import Trigger
from bayesian_jobs.errors import InvalidValue

LONGEST_JOB_ID: Final = 200
RESERVED_JOB_IDS: Final = frozenset({"clean-failed", ".", ".."})
"""What a URL below /jobs/ already means: a command of the API, and steps that clients resolve."""

_UNPRINTABLE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


class JobState(StrEnum):
    """Where a job stands; `prose` says it to users."""

    prose: str

    PENDING = "pending", "accepted, its first run time is not computed yet"
    RUNNING = "running", "active, ready for execution"
    PAUSED = "paused", "postponed: it creates no runs until it is set to running"
    FINISHED = "finished", "it has no further fire times; it stays readable until retention removes it"

    def __new__(cls, value: str, prose: str) -> Self:
        state = str.__new__(cls, value)
        state._value_ = value
        state.prose = prose
        return state


TRANSITIONS: Final[Mapping[JobState, frozenset[JobState]]] = MappingProxyType(
    {
        JobState.PENDING: frozenset({JobState.RUNNING, JobState.PAUSED, JobState.FINISHED}),
        JobState.RUNNING: frozenset({JobState.PAUSED, JobState.FINISHED}),
        JobState.PAUSED: frozenset({JobState.RUNNING, JobState.FINISHED}),
        # Only by giving the job a new definition, with new fire times.
        JobState.FINISHED: frozenset({JobState.RUNNING, JobState.PAUSED}),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What a user asked for, validated. `misfire_grace_time` None: no limit."""

    job_id: str
    handler: str
    kwargs: dict[str, Any]
    trigger: Trigger
    misfire_grace_time: timedelta | None
    state: JobState


def parse_job_id(text: str) -> str:
    """`text` when it can identify a job in the database and in a URL; raises InvalidValue with the reason."""
    if not isinstance(text, str):
        raise InvalidValue("a job_id is a text")
    if not text:
        raise InvalidValue("a job_id is not empty")
    if len(text) > LONGEST_JOB_ID:
        raise InvalidValue(f"a job_id has at most {LONGEST_JOB_ID} characters")
    if any(unicodedata.category(character) in _UNPRINTABLE for character in text):
        raise InvalidValue("a job_id has no control characters, line breaks or lone surrogates")
    if "/" in text:
        raise InvalidValue('a job_id has no "/", since it is a part of a URL')
    if text != text.strip():
        raise InvalidValue("a job_id neither begins nor ends with a space")
    if text in RESERVED_JOB_IDS:
        raise InvalidValue("this name is reserved")
    return text
