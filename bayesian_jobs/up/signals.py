"""What the operator and the kernel tell the supervisor; handlers only count, the loop acts."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """While entered: counts requests to stop; `wake` becomes readable on each, and on a child's death.

    Main thread only. SIGHUP stays ignored where it was (nohup).
    """

    def __init__(self) -> None:
        self.stops = 0
        self._interrupting = False
        self._before: dict[signal.Signals, Any] = {}
        self.wake, self._alarm = socket.socketpair()
        for end in (self.wake, self._alarm):
            end.setblocking(False)

    def __enter__(self) -> Self:
        self._wakeup_before = signal.set_wakeup_fd(self._alarm.fileno(), warn_on_full_buffer=False)
        for number in STOPPING:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._stop)
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self.wake.close()
        self._alarm.close()

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Inside, a request to stop (also one made just before) raises KeyboardInterrupt at once."""
        self._interrupting = True
        try:
            if self.stops:
                raise KeyboardInterrupt
            yield
        finally:
            self._interrupting = False

    def drain(self) -> None:
        """Make `wake` quiet until the next signal."""
        try:
            while self.wake.recv(4096):
                pass
        except BlockingIOError:
            return

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stops += 1
        if self._interrupting:
            raise KeyboardInterrupt
