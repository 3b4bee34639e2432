"""What the handler `Clock` has written: which attempt of which run began when, by this machine's clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.handlers import CLOCK_FILE


@dataclass(frozen=True, slots=True)
class Begun:
    run_id: str
    attempt: int
    at: float
    """Seconds since 1970."""


class ClockFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def settings(self) -> dict[str, str]:
        """For the workers whose handlers are to write it."""
        return {CLOCK_FILE: str(self._path)}

    def read(self) -> list[Begun]:
        words = (line.split() for line in self._path.read_text().splitlines())
        return [Begun(run_id, int(attempt), float(at)) for run_id, attempt, at in words]


@contextmanager
def clock_file(directory: Path) -> Iterator[ClockFile]:
    path = directory / "clock"
    path.touch()
    yield ClockFile(path)
    path.unlink()
