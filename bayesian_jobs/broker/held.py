"""The runs that a worker process holds, from their claim until what came of them is reported."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bayesian_jobs.broker.pace import HORIZON, Pace
from bayesian_jobs.store.claimed import ClaimedRun, RunKey


@dataclass(slots=True)
class Held:
    """A run, and when its handler begins, by the monotonic clock: not after `begin_by`; and how to tell it that it is
    to be cancelled."""

    run: ClaimedRun
    begin_by: float
    begun_at: float | None = None
    cancel: Callable[[], None] | None = None

    @property
    def is_late(self) -> bool:
        return self.begun_at is None and time.monotonic() > self.begin_by


class HeldRuns(dict[RunKey, Held]):
    """By run id, fire time and attempt. Not thread-safe.

    A process holds a run for each of its `threads`, and where runs are short more of them ahead of the threads, which
    then need not wait for the claimer's next round.
    """

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._threads = threads
        self._unbegun = 0
        self._ahead = 0
        self._pace = Pace()

    def take_up(self, runs: Sequence[ClaimedRun], idle: int, begin_by: float) -> None:
        """Hold runs that have just been claimed: the first for `idle` threads, the others ahead of them."""
        for place, run in enumerate(runs):
            self[run.key] = Held(run, begin_by if place >= idle else math.inf)
        self._unbegun += len(runs)

    def begin(self, held: Held) -> None:
        held.begun_at = time.monotonic()
        self._pace.note_begin(held.begun_at, queueing=self._unbegun > 1)
        self._unbegun -= 1

    def forget(self, run: ClaimedRun) -> bool:
        """False: it is held no longer."""
        held = self.pop(run.key, None)
        if held is None:
            return False
        if held.begun_at is None:
            self._unbegun -= 1
        else:
            self._pace.note_end(time.monotonic() - held.begun_at)
        return True

    def late(self) -> list[ClaimedRun]:
        """Those that were claimed ahead and must not begin any more. If there are any, no more are claimed ahead until
        runs have shown anew that they are short."""
        late = [held.run for held in self.values() if held.is_late]
        if late:
            self._pace.stumble()
        return late

    @property
    def begin_by(self) -> float:
        """When the next of those that were claimed ahead must have begun, by the monotonic clock."""
        return min((held.begin_by for held in self.values() if held.begun_at is None), default=math.inf)

    @property
    def wanted(self) -> tuple[int, int]:
        """How many threads are idle, and how many runs to claim ahead of the threads besides."""
        free = self._threads - len(self)
        self._ahead = self._pace.ahead(self._threads - self._long_at_work())
        return max(free, 0), max(min(free, 0) + self._ahead, 0)

    @property
    def are_few(self) -> bool:
        """Whether threads are idle, or will be before a round is done."""
        return self._unbegun <= self._ahead * 3 // 4

    def _long_at_work(self) -> int:
        """How many threads execute a run that takes longer than what is claimed ahead may wait."""
        since = time.monotonic() - HORIZON
        return sum(held.begun_at is not None and held.begun_at < since for held in self.values())
