"""What the threads of a worker and its claimer hand to each other: claimed runs one way, their results the other."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

from bayesian_jobs.broker.held import HeldRuns
from bayesian_jobs.broker.record import Result
from bayesian_jobs.broker.right_of_way import RightOfWay
from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.progress import Progress
from bayesian_jobs.domain.run import HandedBack, Outcome
from bayesian_jobs.presence.bell import Bell
from bayesian_jobs.store.claimed import ClaimedRun, RunKey


@dataclass(frozen=True, slots=True)
class Demand:
    """What a round of the claimer has to do: results to record, idle threads to find runs for, and how many runs to
    find `ahead` of the threads besides.

    `held` are the runs that are held besides those whose results are here; `progress` is the last word of those that
    execute no longer.
    """

    results: list[Result]
    idle: int
    ahead: int
    queues: list[str]
    held: list[str]
    progress: Mapping[RunKey, Progress]

    @property
    def is_for_runs(self) -> bool:
        return self.idle + self.ahead > 0 and bool(self.queues)


class Handover:
    """One inbox of claimed runs for each queue that is consumed, for `capacity` threads; and the results they report.

    Every method may be called by any thread. What the claimer has to know of rings the `bell`.
    """

    def __init__(self, capacity: int, bell: Bell) -> None:
        self._bell = bell
        self._lock = Lock()
        self._inboxes: dict[str, SimpleQueue[ClaimedRun]] = {}
        self._held = HeldRuns(capacity)
        self._progress: dict[RunKey, Progress] = {}
        self._results: list[Result] = []
        self._open = True
        self.right_of_way = RightOfWay()

    # What the threads of the worker call.

    def consume(self, queue: str) -> None:
        """Ask for runs of this queue from now on."""
        with self._lock:
            self._inboxes.setdefault(queue, SimpleQueue())
        self._bell.ring()

    def next_run(self, queue: str, timeout: float) -> ClaimedRun | None:
        """A claimed run of the queue; None if none comes within `timeout` seconds."""
        try:
            return self._inboxes[queue].get(timeout=timeout)
        except Empty:
            return None

    def begin(self, run: ClaimedRun) -> bool:
        """A thread is about to execute the run. False: it must not any more; the run has been handed back."""
        self.right_of_way.give()
        with self._lock:
            held = self._held.get(run.key)
            if held is None:
                return False
            if not held.is_late:
                self._held.begin(held)
                return True
        self.hand_back_late()
        return False

    def on_cancel(self, run: ClaimedRun, cancel: Callable[[], None]) -> None:
        """Have `cancel` called when somebody has asked for this run to be cancelled: by the claimer's thread, and again
        and again, until what came of the run is reported."""
        held = self._held.get(run.key)
        if held is not None:
            held.cancel = cancel

    def report(self, run: ClaimedRun, outcome: Outcome, message: Mapping[str, Any] | None = None) -> None:
        """Have the outcome recorded; only the first one that is reported of an attempt counts."""
        with self._lock:
            self._report(run, outcome, message)
            pressing = self._held.are_few
        if pressing:
            self._press()

    def note_progress(self, run: ClaimedRun, progress: Progress) -> None:
        """Have it kept soon. Only the latest word counts, and none after the run's end."""
        with self._lock:
            if run.key in self._held:
                self._progress[run.key] = progress

    def release(self, run: ClaimedRun) -> None:
        """The thread is idle again; what came of the run has been recorded by somebody else."""
        if run.key not in self._held:
            return
        with self._lock:
            self._held.forget(run)
            pressing = self._held.are_few
        if pressing:
            self._press()

    def executing(self, run_id: str) -> ClaimedRun | None:
        """The run, if this process executes it now."""
        with self._lock:
            same = [held.run for held in self._held.values() if held.run.run_id == run_id]
        return max(same, key=lambda run: run.attempt, default=None)

    def close(self) -> None:
        """Ask for no more runs, and hand back what no thread has begun."""
        with self._lock:
            self._open = False
            inboxes = list(self._inboxes.values())
        for inbox in inboxes:
            with suppress(Empty):
                while True:
                    self.report(inbox.get_nowait(), HandedBack(reasons.SHUT_DOWN, begun=False))
        self._bell.ring()

    def hand_back_all(self) -> None:
        """The same, and hand back what is still executing as well."""
        self.close()
        with self._lock:
            for held in list(self._held.values()):
                self._report(held.run, HandedBack(reasons.SHUT_DOWN, begun=held.begun_at is not None))
        self._bell.ring()

    def _press(self) -> None:
        """Have the claimer do its round now, and before all else."""
        if self._bell.is_heard:
            self.right_of_way.take()
        self._bell.ring()

    # What the claimer calls.

    @property
    def queues(self) -> set[str]:
        with self._lock:
            return set(self._inboxes)

    @property
    def is_open(self) -> bool:
        return self._open

    @property
    def results(self) -> tuple[Result, ...]:
        """Those that no round has taken yet."""
        with self._lock:
            return tuple(self._results)

    @property
    def is_pressing(self) -> bool:
        """Whether the claimer is to have its round now: threads are idle, or will be soon. Else more results gather."""
        with self._lock:
            return self._held.are_few

    @property
    def wanted(self) -> int:
        """How many runs may be claimed."""
        with self._lock:
            return sum(self._wanted())

    def held_runs(self) -> set[str]:
        """The runs whose end has not been taken by a round yet."""
        with self._lock:
            return {run_id for run_id, *_ in self._held} | {result.run.run_id for result in self._results}

    def take(self) -> Demand:
        """Take all results; they are the caller's to record from now on."""
        with self._lock:
            results, self._results = self._results, []
            held = [held.run.run_id for held in self._held.values()]
            ended = {key: self._progress.pop(key) for key in [*self._progress] if key not in self._held}
            return Demand(results, *self._wanted(), list(self._inboxes), held, ended)

    def take_progress(self) -> dict[RunKey, Progress]:
        """What has been noted of all runs since the last call."""
        with self._lock:
            progress, self._progress = self._progress, {}
            return progress

    def return_progress(self, progress: Mapping[RunKey, Progress]) -> None:
        """What could not be kept now is to be taken again, as far as there is nothing later."""
        with self._lock:
            self._progress = {**progress, **self._progress}

    def deliver(self, runs: Sequence[ClaimedRun], idle: int, begin_by: float) -> None:
        """Hand over runs that have just been claimed: the first for `idle` threads, the others ahead of the threads, to
        begin by a time of the monotonic clock or not at all. After `close` they go back."""
        with self._lock:
            self._held.take_up(runs, idle, begin_by)
        for run in runs:
            self._inboxes[run.queue].put(run)
        if not self._open:
            self.close()

    def begin_by(self) -> float:
        """When the next of the runs that were claimed ahead must have begun, by the monotonic clock."""
        with self._lock:
            return self._held.begin_by

    def hand_back_late(self) -> None:
        """Hand back what was claimed ahead, and what no thread has begun in time."""
        with self._lock:
            late = self._held.late()
            for run in late:
                self._report(run, HandedBack(reasons.NOT_BEGUN, begun=False))
        if late:
            self._bell.ring()

    def cancel(self, run_ids: Collection[str]) -> None:
        """Tell those who execute these runs that they are to be cancelled. Who has not begun yet is told next time."""
        with self._lock:
            cancels = [held.cancel for held in self._held.values() if held.run.run_id in run_ids]
        for cancel in cancels:
            if cancel is not None:
                cancel()

    # Under the lock.

    def _report(self, run: ClaimedRun, outcome: Outcome, message: Mapping[str, Any] | None = None) -> None:
        if self._held.forget(run):
            self._results.append(Result(run, outcome, message))

    def _wanted(self) -> tuple[int, int]:
        return self._held.wanted if self._open else (0, 0)
