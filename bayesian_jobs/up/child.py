"""One process of the service: started in a session of its own, listened to, signalled as a group."""

import codecs
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LONGEST_LINE = 64 * 1024
CHUNKS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    arguments: tuple[str, ...]


def leashed(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The command so that it ends with this process. Only for the main thread: the leash is a thread's."""
    return (sys.executable, "-m", "bayesian_jobs.up.leash", str(os.getpid()), *arguments)


class Child:
    """The running process of a command. Its output (stdout and stderr) comes line by line from `lines()`.

    The new session keeps the terminal's Ctrl-C away from it: only the supervisor decides about its end.
    """

    def __init__(self, command: Command, environ: Mapping[str, str], *, now: float) -> None:
        self.name = command.name
        self.started_at = now
        self._process = subprocess.Popen(  # noqa: S603 - a command of our own
            leashed(command.arguments),
            env={**environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.output = self._process.stdout
        os.set_blocking(self.output.fileno(), False)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._partial = ""
        self.silent = False  # nothing more can come from its output

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> str | None:
        """How the process ended, or None while it runs. What it left behind in its group is killed."""
        code = self._process.poll()
        if code is None:
            return None
        self.kill()
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    def terminate(self) -> None:
        """Ask the process to finish; it takes care of its own children."""
        self._process.terminate()

    def kill(self) -> None:
        """End the process and all that it started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def lines(self) -> Iterator[str]:
        """The lines written since the last call; the last, unfinished one is kept for the next call."""
        for chunk in self._chunks():
            *whole, self._partial = (self._partial + self._decoder.decode(chunk)).split("\n")
            yield from whole
            if len(self._partial) > LONGEST_LINE:
                yield self._partial
                self._partial = ""

    def last_words(self) -> Iterator[str]:
        """What is left to read from an ended process, the unfinished line included; closes the output."""
        yield from self.lines()
        if self._partial:
            yield self._partial
        self.output.close()

    def _chunks(self) -> Iterator[bytes]:
        # bounded, so that a process that writes without end cannot keep the supervisor from its other duties
        for _ in range(CHUNKS_AT_ONCE):
            chunk = self.output.read(LONGEST_LINE)
            if not chunk:
                self.silent = chunk is not None
                return
            yield chunk
