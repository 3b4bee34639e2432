"""One scene of a story: a process comes to grief at one step, others go on, and what it has come to is looked at."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import victims
from invariants import check, wait_until_settled, what_is_open
from running import services

from bayesian_jobs.store.engine import make_engine

SECONDS = 60

Part = Callable[..., AbstractContextManager[None]]


class NotReached(Exception):
    """This time the process had nothing to do that takes that step."""


@dataclass(frozen=True)
class Scene:
    """What happens at which step; no step: nothing happens, and all steps are written down in `notes`."""

    notes: Path
    step: str | None = None
    action: str | None = None

    @contextmanager
    def process(self, act: victims.Act, url: str) -> Iterator[BaseProcess]:
        victim = victims.start(act, url, self.notes, self.step, self.action)
        try:
            yield victim
        finally:
            if victim.is_alive():
                send(victim, signal.SIGCONT)
                victim.kill()
            victim.join()

    @property
    def is_reached(self) -> bool:
        return "reached" in victims.steps_in(self.notes)

    def see_end(self, victim: BaseProcess) -> None:
        """It ends by itself, as the action has it."""
        if self.action == "hang" and self.is_reached:
            send(victim, signal.SIGCONT)
        victim.join(SECONDS)
        expected = -signal.SIGKILL if self.action == "kill" else 0
        assert victim.exitcode == expected, Path(f"{self.notes}.log").read_text()[-3000:]


@dataclass(frozen=True)
class Life:
    """The story of a process that acts until SIGTERM. `prepare` leaves something to do for it, and for its `others`.
    `again`: who takes over when it is killed or frozen."""

    prepare: Callable[[str], None]
    act: victims.Act
    others: Part
    again: Part

    def play(self, scene: Scene, url: str) -> None:
        self.prepare(url)
        with ExitStack() as stack:
            parts = stack.enter_context(services(url, "others"))
            stack.enter_context(self.others(parts))
            victim = stack.enter_context(scene.process(self.act, url))
            wait_until(lambda: scene.is_reached or what_is_open(parts.engine) == [], "the step, or the end")
            if scene.is_reached and scene.action in ("kill", "hang"):
                stack.enter_context(self.again(stack.enter_context(services(url, "again"))))
            wait_until_settled(parts.engine, SECONDS)
            if victim.is_alive():
                send(victim, signal.SIGTERM)
                if scene.step is not None:
                    wait_until(lambda: scene.is_reached or not victim.is_alive(), "the step, or the end")
            scene.see_end(victim) if scene.is_reached or scene.step is None else victim.join(SECONDS)
            wait_until_settled(parts.engine, SECONDS)
        if scene.step is not None and not scene.is_reached:
            raise NotReached
        engine = make_engine(url, "check")
        try:
            check(engine)
        finally:
            engine.dispose()


@dataclass(frozen=True)
class Errand:
    """The story of a process that does something and ends. When it has come to grief, `is_whole` tells whether each
    part of it is done or not; then it is done again, and `is_done` tells whether all of it is."""

    act: victims.Act
    is_whole: Callable[[str], None]
    is_done: Callable[[str], None]

    def play(self, scene: Scene, url: str) -> None:
        with scene.process(self.act, url) as victim:
            if scene.step is not None:
                wait_until(lambda: scene.is_reached or not victim.is_alive(), "the step, or the end")
            if scene.step is not None and not scene.is_reached:
                raise NotReached
            if scene.action == "hang":
                self.do_again(scene, url)
            scene.see_end(victim)
        self.is_whole(url)
        if scene.action == "kill":
            self.do_again(scene, url)
        self.is_done(url)

    def do_again(self, scene: Scene, url: str) -> None:
        again = Scene(scene.notes.with_suffix(".again"))
        with again.process(self.act, url) as process:
            again.see_end(process)


def send(victim: BaseProcess, number: signal.Signals) -> None:
    assert victim.pid is not None
    os.kill(victim.pid, number)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < give_up, f"not within {SECONDS} seconds: {what}"
        time.sleep(0.02)
