"""Waiting for what other threads and processes do: for a condition, never for a time."""

import threading
from collections.abc import Callable

TRIES, PAUSE = 400, 0.025


def wait_for(condition: Callable[[], bool], what: str = "it", tries: int = TRIES) -> None:
    pause = threading.Event()
    for _ in range(tries):
        if condition():
            return
        pause.wait(PAUSE)
    raise AssertionError(f"{what} did not come true within {tries * PAUSE:.0f} seconds")
