"""A job: its states, and what a user asked for once it has been validated."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from bayesian_jobs.domain.described import Described
from bayesian_jobs.domain.json_values import why_not_storable
from bayesian_jobs.domain.misfire import CatchUp
from bayesian_jobs.domain.trigger import Trigger
from bayesian_jobs.errors import InvalidValue

LONGEST_JOB_ID: Final = 200
RESERVED_JOB_IDS: Final = frozenset({"clean-failed", ".", ".."})
"""What a URL below /jobs/ already means: a command of the API, and steps that clients resolve."""

FIRST_PRIORITY: Final = 0
LAST_PRIORITY: Final = 9
PRIORITY: Final = 5
MOST_CONCURRENT_RUNS: Final = 100
MOST_RETRIES: Final = 1000
LONGEST_DESCRIPTION: Final = 2000
MOST_TAGS: Final = 20
LONGEST_TAG: Final = 50

_UNPRINTABLE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


class JobState(Described):
    """Where a job stands."""

    PENDING = "pending", "accepted, its first run time is not computed yet"
    RUNNING = "running", "active, ready for execution"
    PAUSED = "paused", "postponed: it creates no runs until it is set to running"
    FINISHED = "finished", "it has no further fire times; it stays readable until retention removes it"


TRANSITIONS: Final[Mapping[JobState, frozenset[JobState]]] = MappingProxyType(
    {
        JobState.PENDING: frozenset({JobState.RUNNING, JobState.PAUSED, JobState.FINISHED}),
        # Pending again: by plain SQL, and when a job that was set aside is to run.
        JobState.RUNNING: frozenset({JobState.PAUSED, JobState.FINISHED, JobState.PENDING}),
        JobState.PAUSED: frozenset({JobState.RUNNING, JobState.FINISHED, JobState.PENDING}),
        # Only by giving the job a new definition, with new fire times.
        JobState.FINISHED: frozenset({JobState.RUNNING, JobState.PAUSED, JobState.PENDING}),
    }
)


class Overlap(Described):
    """What becomes of a fire time while as many runs of the job are open as it may have."""

    SKIP = "skip", "it is skipped"
    QUEUE_ONE = "queue_one", "one run waits for an open one to end, for the latest fire time that has passed by then"


ALLOW: Final = "allow"
"""What people may say for an overlap: as many concurrent runs as there may be, and beyond those `skip`."""
OVERLAPS: Final = (*Overlap, ALLOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What a user asked for, validated. `misfire_grace_time` None: no limit; `queue`, `max_retries`, `retry_delay` and
    `time_limit` None: as the handler says."""

    job_id: str
    handler: str
    kwargs: dict[str, Any]
    trigger: Trigger
    jitter: timedelta | None
    misfire_grace_time: timedelta | None
    catch_up: CatchUp
    max_concurrent_runs: int
    overlap: Overlap
    queue: str | None
    priority: int
    max_retries: int | None
    retry_delay: timedelta | None
    time_limit: timedelta | None
    description: str | None
    tags: tuple[str, ...]
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


def parse_overlap(text: str) -> Overlap:
    """Raises InvalidValue."""
    if text not in OVERLAPS:
        raise InvalidValue(f"must be one of {', '.join(OVERLAPS)}")
    return Overlap.QUEUE_ONE if text == Overlap.QUEUE_ONE else Overlap.SKIP


def parse_description(text: str) -> str:
    """A text to be shown with the job. Raises InvalidValue."""
    if len(text) > LONGEST_DESCRIPTION:
        raise InvalidValue(f"a description has at most {LONGEST_DESCRIPTION} characters")
    if reason := why_not_storable(text):
        raise InvalidValue(reason)
    return text


def parse_tags(tags: Sequence[Any]) -> tuple[str, ...]:
    """Words to find jobs by, in the order given. Raises InvalidValue."""
    if len(tags) > MOST_TAGS:
        raise InvalidValue(f"a job has at most {MOST_TAGS} tags")
    for tag in tags:
        if not isinstance(tag, str) or not tag or tag != tag.strip() or "," in tag:
            raise InvalidValue("a tag is a text that is not empty and has no comma and no space at either end")
        if len(tag) > LONGEST_TAG or any(unicodedata.category(character) in _UNPRINTABLE for character in tag):
            raise InvalidValue(f"a tag has at most {LONGEST_TAG} characters, none of them a control character")
    if len(set(tags)) < len(tags):
        raise InvalidValue("a tag is given twice")
    return tuple(tags)
