"""What the threads of a worker and its claimer hand to each other: claimed runs one way, their results the other."""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

from bayesian_jobs.broker.record import Result
from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.progress import Progress
from bayesian_jobs.domain.run import HandedBack, Outcome
from bayesian_jobs.presence.bell import Bell
from bayesian_jobs.store.claims import ClaimedRun, RunKey


@dataclass(frozen=True, slots=True)
class Demand:
    """What a round of the claimer has to do: results to record, and idle threads to find runs for.

    `held` are the runs that are executing besides those whose results are here; `progress` is the last word of those
    that execute no longer.
    """

    results: list[Result]
    idle: int
    queues: list[str]
    held: list[str]
    progress: Mapping[RunKey, Progress]


class Handover:
    """One inbox of claimed runs for each queue that is consumed, for `capacity` threads; and the results they report.

    Every method may be called by any thread. What the claimer has to know of rings the `bell`.
    """

    def __init__(self, capacity: int, bell: Bell) -> None:
        self._capacity = capacity
        self._bell = bell
        self._lock = Lock()
        self._inboxes: dict[str, SimpleQueue[ClaimedRun]] = {}
        self._executing: dict[RunKey, ClaimedRun] = {}
        self._cancels: dict[RunKey, Callable[[], None]] = {}
        self._progress: dict[RunKey, Progress] = {}
        self._results: list[Result] = []
        self._open = True

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

    def on_cancel(self, run: ClaimedRun, cancel: Callable[[], None]) -> None:
        """Have `cancel` called when somebody has asked for this run to be cancelled: by the claimer's thread, and again
        and again, until what came of the run is reported."""
        with self._lock:
            if run.key in self._executing:
                self._cancels[run.key] = cancel

    def report(self, run: ClaimedRun, outcome: Outcome, message: Mapping[str, Any] | None = None) -> None:
        """Have the outcome recorded; only the first one that is reported of an attempt counts."""
        with self._lock:
            if run.key in self._executing:
                self._results.append(Result(run, outcome, message))
                self._forget(run)
        self._bell.ring()

    def note_progress(self, run: ClaimedRun, progress: Progress) -> None:
        """Have it kept soon. Only the latest word counts, and none after the run's end."""
        with self._lock:
            if run.key in self._executing:
                self._progress[run.key] = progress

    def release(self, run: ClaimedRun) -> None:
        """The thread is idle again; what came of the run has been recorded by somebody else."""
        with self._lock:
            reported = run.key not in self._executing
            self._forget(run)
        if not reported:
            self._bell.ring()

    def executing(self, run_id: str) -> ClaimedRun | None:
        """The run, if this process executes it now."""
        with self._lock:
            same = [run for run in self._executing.values() if run.run_id == run_id]
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

    def hand_back_all(self) -> None:
        """The same, and hand back what is still executing as well."""
        self.close()
        with self._lock:
            executing = list(self._executing.values())
        for run in executing:
            self.report(run, HandedBack(reasons.SHUT_DOWN))

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
    def idle_threads(self) -> int:
        """How many runs may be claimed."""
        with self._lock:
            return self._idle_threads()

    def held_runs(self) -> set[str]:
        """The runs whose end has not been taken by a round yet."""
        with self._lock:
            return {run.run_id for run in (*self._executing.values(), *(result.run for result in self._results))}

    def take(self) -> Demand:
        """Take all results; they are the caller's to record from now on."""
        with self._lock:
            results, self._results = self._results, []
            held = [run.run_id for run in self._executing.values()]
            ended = {key: self._progress.pop(key) for key in [*self._progress] if key not in self._executing}
            return Demand(results, self._idle_threads(), list(self._inboxes), held, ended)

    def take_progress(self) -> dict[RunKey, Progress]:
        """What has been noted of all runs since the last call."""
        with self._lock:
            progress, self._progress = self._progress, {}
            return progress

    def return_progress(self, progress: Mapping[RunKey, Progress]) -> None:
        """What could not be kept now is to be taken again, as far as there is nothing later."""
        with self._lock:
            self._progress = {**progress, **self._progress}

    def deliver(self, runs: Iterable[ClaimedRun]) -> None:
        """Hand over runs that have just been claimed; after `close` they go back."""
        runs = list(runs)
        with self._lock:
            self._executing.update((run.key, run) for run in runs)
        for run in runs:
            self._inboxes[run.queue].put(run)
        if not self._open:
            self.close()

    def cancel(self, run_ids: Collection[str]) -> None:
        """Tell those who execute these runs that they are to be cancelled. Who has not begun yet is told next time."""
        with self._lock:
            cancels = [cancel for (run_id, *_), cancel in self._cancels.items() if run_id in run_ids]
        for cancel in cancels:
            cancel()

    def _forget(self, run: ClaimedRun) -> None:
        self._executing.pop(run.key, None)
        self._cancels.pop(run.key, None)

    def _idle_threads(self) -> int:
        return self._capacity - len(self._executing) if self._open else 0
