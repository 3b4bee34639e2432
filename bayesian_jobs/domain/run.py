"""A run: its states, and the outcomes an execution can have."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from bayesian_jobs.domain.described import Described


class RunState(Described):
    """Where a run stands."""

    QUEUED = "queued", "waits for a worker, or for its next attempt"
    RUNNING = "running", "a worker executes it"
    SUCCEEDED = "succeeded", "its handler returned"
    FAILED = "failed", "its handler failed for good"
    MISSED = "missed", "too late, or collapsed into a later run: it was never executed"
    SKIPPED = "skipped", "no run was made for it: an earlier one was still going, or the job was paused or changed"
    CANCELLED = "cancelled", "somebody asked for it, or its job was paused or deleted"


TRANSITIONS: Final[Mapping[RunState, frozenset[RunState]]] = MappingProxyType(
    {
        RunState.QUEUED: frozenset({RunState.RUNNING, RunState.MISSED, RunState.CANCELLED}),
        # Back to queued: a retry, handed back by a worker that stops, or taken back from a dead worker.
        RunState.RUNNING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.QUEUED, RunState.CANCELLED}),
        RunState.SUCCEEDED: frozenset(),
        RunState.FAILED: frozenset(),
        RunState.MISSED: frozenset(),
        RunState.SKIPPED: frozenset(),
        RunState.CANCELLED: frozenset(),
    }
)
"""Missed and skipped records are also created as such."""

ENDED: Final = frozenset(state for state, following in TRANSITIONS.items() if not following)


MAX_RECOVERIES: Final = 3
"""How often a run is taken back from a lost worker, so that one that kills its worker cannot do so for ever."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The handler returned."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler failed and is not tried again; both texts are storable."""

    error: str
    traceback: str


@dataclass(frozen=True, slots=True)
class RetryAt:
    """The handler failed; it is tried again after `delay`, by the database's clock. Texts are storable."""

    delay: timedelta
    error: str
    traceback: str


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The worker gave the run back: it is queued again after `delay`, and no failure is counted.

    `begun`: its handler had begun to work. `lost`: it is counted as a recovery, of which a run has only so many.
    """

    reason: str
    delay: timedelta = timedelta(0)
    begun: bool = True
    lost: bool = False


Outcome = Succeeded | Failed | RetryAt | HandedBack
