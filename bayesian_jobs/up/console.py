"""One log of many processes: each line carries the fixed-width name of the process that wrote it."""

import os
import sys
from collections.abc import Mapping
from typing import TextIO

NAME_WIDTH = len("scheduler")
COLOURS = {"up": "1", "api": "36", "scheduler": "35", "worker": "32", "actors": "33"}
CONTROL_CHARACTERS = dict.fromkeys([*range(0x20), 0x7F, *range(0x80, 0xA0)], "\N{REPLACEMENT CHARACTER}")
CONTROL_CHARACTERS[ord("\t")] = "\t"


class Console:
    """Writes lines. Once a write fails, nobody reads any more: `broken` is true and the rest is dropped."""

    def __init__(self, stream: TextIO, *, colour: bool = False) -> None:
        self._stream = stream
        self._colour = colour
        self.broken = False

    def line(self, name: str, text: str) -> None:
        """One line of the process called `name`; control characters in it cannot reach the terminal."""
        prefix = f"{name:<{NAME_WIDTH}} |"
        if self._colour:
            prefix = f"\x1b[{COLOURS.get(name, '34')}m{prefix}\x1b[0m"
        self._write(f"{prefix} {text.translate(CONTROL_CHARACTERS)}".rstrip() + "\n")

    def say(self, text: str) -> None:
        """One line of the supervisor itself."""
        self.line("up", text)

    def block(self, text: str) -> None:
        """Several lines as they are."""
        self._write(text.rstrip("\n") + "\n")

    def _write(self, text: str) -> None:
        if self.broken:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self.broken = True


def on_stdout(environ: Mapping[str, str]) -> Console:
    """The console of this process: colour only on a terminal that wants it (NO_COLOR, TERM=dumb)."""
    stdout = sys.stdout
    if hasattr(stdout, "reconfigure"):
        stdout.reconfigure(errors="backslashreplace")
    wanted = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return Console(stdout, colour=wanted and stdout.isatty())


def silence_stdout() -> None:
    """After a broken console: spare the interpreter its own failing flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
