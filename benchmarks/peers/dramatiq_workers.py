"""What the peers on Dramatiq have in common: the worker is Dramatiq's own command, with its own defaults but for the
number of processes and threads. https://dramatiq.io/guide.html#workers"""

from collections.abc import Callable

from benchmarks.peers import errand


def nothing() -> None:
    return


def execute(module: str, begun: Callable[[], object], done: Callable[[], object]) -> float:
    """Seconds from the first sign of work to the last acknowledgement."""
    asked = errand.received()
    size = ("--processes", str(asked.processes), "--threads", str(asked.threads))
    with errand.running("dramatiq", module, *size):
        return errand.seconds_between(begun, done)
