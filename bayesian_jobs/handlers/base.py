"""The class that every handler derives from, and what a handler can do while it executes a run."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, Protocol

from sqlalchemy import Connection, Engine

from bayesian_jobs.domain.flow import Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message for a Dramatiq actor, sent when the run that sends it succeeds."""

    actor: str
    queue: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)


class RunContext(Protocol):
    """The run that a handler executes."""

    flows: Mapping[str, Flow]
    """The flows that are configured, by name."""
    retention: timedelta
    """How long history is kept."""
    engine: Engine
    """For work in transactions of its own, which stays whatever becomes of the run."""

    @property
    def run_id(self) -> str: ...

    @property
    def job_id(self) -> str | None: ...

    @property
    def scheduled_for(self) -> datetime:
        """The fire time that the run is for."""

    @property
    def attempt(self) -> int:
        """1 for the first try of the run, and so on."""

    @property
    def connection(self) -> Connection:
        """A connection inside the run's own transaction: it commits together with the run's success, and only
        then. Opened when first asked for. When the run fails, or another attempt has taken over, nothing of
        it is kept."""

    @property
    def cancelled(self) -> bool:
        """Whether somebody has asked for the run to be cancelled. May be asked by any thread, at no cost."""

    def check_cancelled(self) -> None:
        """Raises Cancelled if somebody has asked for the run to be cancelled."""

    def report_progress(self, done: float, total: float | None = None, text: str | None = None) -> None:
        """Tell how far the work has come, for people to see. Costs next to nothing, and may be called by any thread, as
        often as you like: the latest word is kept every two seconds, and with the end of the run. It is not part of
        the run's own transaction. Raises nothing: what is no number is not kept, and is warned of in the log."""

    def send(self, messages: Sequence[Message]) -> list[str]:
        """Send the messages in the run's transaction: all of them or, when the run fails, none. Returns their
        run ids."""

    def start(self, flow: Flow, arguments: Sequence[Mapping[str, Any]]) -> None:
        """Start the flow, or the part of one, once for each of the arguments, which the actor of each task gets as its
        kwargs; in the run's transaction: all of them or, when the run fails, none."""


class BaseHandler(ABC):
    """Derive from this class and implement `execute()`: its actor, its REST endpoint, the validation of its
    kwargs and its place in the documentation follow from the class.

    The class's name is the handler's name; its docstring, the annotations of `execute()` and the attributes
    below describe it. One object is made for each run.
    """

    queue: ClassVar[str] = "default"
    """The queue on which workers find its runs."""
    time_limit: ClassVar[timedelta] = timedelta(minutes=10)
    """How long one attempt may take; then it is interrupted and has failed."""
    max_retries: ClassVar[int] = 0
    """How often a failed attempt is tried again before the run has failed for good."""
    retry_delay: ClassVar[timedelta] = timedelta(seconds=15)
    """The wait before the first retry; it doubles with each further one, up to an hour."""
    interruptible: ClassVar[bool] = True
    """Whether cancelling its run raises Cancelled wherever it is (of a coroutine: cancels it at its `await`). If not,
    it goes on until it asks: `self.run.check_cancelled()`."""
    example: ClassVar[Mapping[str, Any]] = {}
    """Keyword arguments to show in the documentation."""
    internal: ClassVar[bool] = False
    """Internal handlers are not offered to users: they have no endpoint."""

    def __init__(self, run: RunContext) -> None:
        self.run = run

    @cached_property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that names the job and the run on each line."""
        logger = logging.getLogger(f"bayesian_jobs.handlers.{type(self).__name__}")
        return RunLog(logger, {"job_id": self.run.job_id, "run_id": self.run.run_id})

    @abstractmethod
    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work. Raising an exception fails the attempt; what it returns is not kept."""


class RunLog(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        names = self.extra or {}
        return f"job={names['job_id']} run={names['run_id']} {msg}", kwargs
