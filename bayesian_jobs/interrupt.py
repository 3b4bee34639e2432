"""Interrupting the thread that executes a run, and only while it lets itself be interrupted."""

import ctypes
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock, get_ident

from dramatiq.middleware import Interrupt
from dramatiq.middleware.threading import raise_thread_exception


class Cancelled(Interrupt):
    """Somebody has asked for the run that this thread executes to be cancelled."""


class Cancellation:
    """Of one attempt: whether it is asked for, and how to interrupt what is executing.

    One thread executes; any other may ask, as often as it likes: it interrupts once, and never outside of `open` and
    `close`.
    """

    def __init__(self) -> None:
        self.requested = False
        self._lock = Lock()
        self._interrupt: Callable[[], object] | None = None

    def request(self) -> None:
        with self._lock:
            self.requested = True
            interrupt, self._interrupt = self._interrupt, None
            if interrupt is not None:
                interrupt()

    def check(self) -> None:
        """Raises Cancelled if it is asked for."""
        if self.requested:
            raise Cancelled

    def open(self, interrupt: Callable[[], object]) -> None:
        """From now on a request calls `interrupt`. Raises Cancelled if it has been asked for before."""
        with self._lock:
            self.check()
            self._interrupt = interrupt

    def close(self) -> None:
        with self._lock:
            self._interrupt = None

    def open_thread(self) -> None:
        """From now on a request raises Cancelled in this thread. Raises it now if it has been asked for before."""
        self.open(partial(raise_thread_exception, get_ident(), Cancelled))

    def close_thread(self) -> None:
        """Raises Cancelled, or never again."""
        self.close()
        # One that has been set, but not been raised yet, would be raised in whatever this thread does next.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(get_ident()), None)

    @contextmanager
    def interrupting_thread(self) -> Iterator[None]:
        """While the block executes, a request raises Cancelled in it."""
        self.open_thread()
        try:
            yield
        finally:
            self.close_thread()


def free_logging() -> None:
    """Give back what this thread has left locked in logging. An interrupt may come between the taking of a lock and the
    `try` that gives it back; no other thread would ever log again."""
    handlers = [reference() for reference in logging._handlerList]  # type: ignore[attr-defined]
    locks = [handler.lock for handler in handlers if handler is not None]
    for lock in (logging._lock, *locks):  # type: ignore[attr-defined]
        if lock is not None:
            with suppress(RuntimeError):  # once it is not this thread's
                while True:
                    lock.release()
