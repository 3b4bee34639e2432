"""The doorbells that have come to a worker process, until its claimer has tried to start their runs."""

import time
from collections import deque
from threading import Condition

from dramatiq.broker import MessageProxy

from bayesian_jobs.presence.bell import Bell
from bayesian_jobs.store.doorbells import RunAt

LINGER = 0.1
"""Seconds for which a process that wants no more runs keeps the doorbells that have come: a thread may be idle soon,
and to connect to RabbitMQ takes longer than many a run."""


class Inbox:
    """Every method may be called by any thread. What the claimer has to know of rings the `bell`."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._changed = Condition()
        self._waiting: deque[tuple[str, MessageProxy, RunAt]] = deque()
        self._taken: dict[str, list[MessageProxy]] = {}
        self._unwanted_since: float | None = 0.0
        self._open = True

    # What the claimer calls.

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    def want(self, wanted: bool) -> None:
        """Whether the process would start more runs now."""
        with self._changed:
            if not wanted:
                self._unwanted_since = time.monotonic() if self._unwanted_since is None else self._unwanted_since
            elif self._unwanted_since is not None:
                self._unwanted_since = None
                self._changed.notify_all()

    def take(self, limit: int) -> list[RunAt]:
        """The runs of the doorbells that have come first. They may be acknowledged from now on: should their runs not
        start now, they are told of again."""
        with self._changed:
            first = [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
            for queue, message, _ in first:
                self._taken.setdefault(queue, []).append(message)
        return [run for _, _, run in first]

    def close(self) -> None:
        """No more doorbells are wanted, ever."""
        with self._changed:
            self._open = False
            self._changed.notify_all()

    # What the receiver of a queue calls.

    @property
    def is_open(self) -> bool:
        return self._open

    def wait_until_wanted(self) -> bool:
        """False: doorbells will not be wanted any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._unwanted_since is None or not self._open)
            return self._open

    def pause(self, seconds: float) -> None:
        """Return after so many seconds, or when no doorbells are wanted any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open, seconds)

    def is_wanting(self) -> bool:
        """Whether more doorbells are wanted, or were until a moment ago."""
        with self._changed:
            lately = self._unwanted_since is None or time.monotonic() - self._unwanted_since < LINGER
            return lately and self._open

    def put(self, queue: str, message: MessageProxy, run: RunAt) -> None:
        with self._changed:
            self._waiting.append((queue, message, run))
        self._bell.ring()

    def taken(self, queue: str) -> list[MessageProxy]:
        """Those that the claimer has taken since the last call."""
        with self._changed:
            return self._taken.pop(queue, [])

    def leave(self, queue: str) -> tuple[list[MessageProxy], list[MessageProxy]]:
        """Those that the claimer has taken since the last call of `taken`, and those that it has not, and now will
        not."""
        with self._changed:
            left = [message for name, message, _ in self._waiting if name == queue]
            self._waiting = deque(each for each in self._waiting if each[0] != queue)
            return self._taken.pop(queue, []), left
