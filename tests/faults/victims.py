"""Child processes that something happens to at one step of their way to and from the database."""

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from faulty import FaultySession, drop, hang, kill, make_faulty, throw
from sqlalchemy import Engine

ACTIONS: Mapping[str, Callable[[str, FaultySession | None], None]] = {
    "kill": kill,
    "throw": throw,
    "hang": hang,
    "drop": drop,
}
KILL_WITH_PARENT = 1  # PR_SET_PDEATHSIG

Act = Callable[[str], None]
"""What a process does on the database with this URL. Must be importable."""

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["__main__", "victims", "stories"])


class Trap:
    """Writes down each step, and lets the action happen at the given one, when that is made for the first time."""

    def __init__(self, notes: Path, step: str | None, action: str | None) -> None:
        self._notes = notes
        self._step = step
        self._action = action

    def __call__(self, step: str, session: FaultySession | None) -> None:
        if self._step is None:
            self._note(step)
        elif step == self._step:
            self._step = ""
            self._note("reached")
            assert self._action is not None
            ACTIONS[self._action](step, session)
            self._note("woken")

    def _note(self, line: str) -> None:
        notes = os.open(self._notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(notes, f"{line}\n".encode())
        os.close(notes)


def start(act: Act, url: str, notes: Path, step: str | None = None, action: str | None = None) -> BaseProcess:
    """A process that acts; without `step` it only writes down the steps it makes."""
    ensure_server()
    victim = forks.Process(target=live, args=(act, url, notes, step, action))
    victim.start()
    return victim


def ensure_server() -> None:
    """Run the process that forks the victims. It imports what they need, once, and learns where that is only so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()


def live(act: Act, url: str, notes: Path, step: str | None, action: str | None) -> None:
    ctypes.CDLL(None).prctl(KILL_WITH_PARENT, signal.SIGKILL)
    sys.stdout = sys.stderr = open(f"{notes}.log", "w", buffering=1)  # noqa: SIM115
    make_faulty(Engine, Trap(notes, step, action))
    try:
        act(url)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        raise SystemExit(1) from None


def steps_in(notes: Path) -> list[str]:
    return notes.read_text().splitlines() if notes.exists() else []
