"""Execute: a started run is done by its handler, and what came of it is recorded.

A handler that works on the run's own connection commits its work together with the run's success, in one transaction.
All other outcomes go to `report`, which records those of many runs in one.
"""

import asyncio
import inspect
import logging
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.domain.flow import Flow
from bayesian_jobs.domain.progress import Progress
from bayesian_jobs.domain.run import MAX_RECOVERIES, Failed, HandedBack, Outcome, RetryAt, Succeeded
from bayesian_jobs.domain.storable import describe_exception
from bayesian_jobs.handlers.base import BaseHandler, Message
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.interrupt import Cancellation, free_logging
from bayesian_jobs.store.claimed import ClaimedRun
from bayesian_jobs.store.endings import Ending, finish_runs
from bayesian_jobs.store.engine import behave_as_hot, is_busy, is_lost, run_transaction
from bayesian_jobs.store.flows import start_flow
from bayesian_jobs.store.runs import NewMessage, send_messages

LONGEST_RETRY_DELAY = timedelta(hours=1)

log = logging.getLogger(__name__)

T = TypeVar("T")
Report = Callable[[ClaimedRun, Outcome], None]
NoteProgress = Callable[[ClaimedRun, Progress], None]
OnCancel = Callable[[ClaimedRun, Callable[[], None]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What executing runs takes besides the runs themselves."""

    engine: Engine
    registry: Registry
    flows: Mapping[str, Flow]
    retention: timedelta
    report: Report
    note_progress: NoteProgress
    on_cancel: OnCancel
    """Has the callable called, by another thread, when somebody has asked for the run to be cancelled."""


@dataclass(slots=True)
class Execution:
    """The run that a handler sees while it executes: `RunContext` of handlers/base.py."""

    run: ClaimedRun
    flows: Mapping[str, Flow]
    retention: timedelta
    engine: Engine
    note_progress: NoteProgress
    resources: ExitStack = field(default_factory=ExitStack)
    opened: Connection | None = None
    cancellation: Cancellation = field(default_factory=Cancellation)

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def job_id(self) -> str | None:
        return self.run.job_id

    @property
    def scheduled_for(self) -> datetime:
        return self.run.scheduled_for

    @property
    def attempt(self) -> int:
        return self.run.attempt

    @property
    def connection(self) -> Connection:
        if self.opened is None:
            self.opened = self.resources.enter_context(run_transaction(self.engine))
        return self.opened

    @property
    def cancelled(self) -> bool:
        return self.cancellation.requested

    def check_cancelled(self) -> None:
        self.cancellation.check()

    def report_progress(self, done: float, total: float | None = None, text: str | None = None) -> None:
        try:
            self.note_progress(self.run, Progress.of(done, total, text))
        except Exception as error:
            log.warning("job=%s run=%s its progress is not kept: %s", self.job_id, self.run_id, error)

    def send(self, messages: Sequence[Message]) -> list[str]:
        new = [
            NewMessage(
                run_id=str(uuid4()),
                actor=message.actor,
                queue=message.queue,
                body=body_of(message.kwargs),
                job_id=self.job_id,
            )
            for message in messages
        ]
        if new:
            send_messages(self.connection, new)
        return [message.run_id for message in new]

    def start(self, flow: Flow, arguments: Sequence[Mapping[str, Any]]) -> None:
        if len(flow.tasks) == 1:
            (task,) = flow.tasks
            self.send([Message(actor=task.actor, queue=task.queue, kwargs=kwargs) for kwargs in arguments])
        elif arguments:
            start_flow(self.connection, flow, [body_of(kwargs) for kwargs in arguments], self.job_id)


def body_of(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A message with these arguments, as a run keeps it."""
    return {"args": [], "kwargs": dict(kwargs), "options": {}}


def execute(run: ClaimedRun, workshop: Workshop) -> None:
    """Execute a run that this process has started, and report its outcome, whatever happens.

    Raises nothing but what stops the process.
    """
    with ExitStack() as resources:
        execution = Execution(
            run, workshop.flows, workshop.retention, workshop.engine, workshop.note_progress, resources
        )
        workshop.on_cancel(run, execution.cancellation.request)
        outcome = attempt(execution, workshop)
    # Only now that the run's own transaction is over: what is reported may need what that had locked.
    if outcome is not None:
        workshop.report(run, outcome)


def attempt(execution: Execution, workshop: Workshop) -> Outcome | None:
    """Let the handler work, and commit what it did on the run's connection. None: the outcome is recorded already,
    or another attempt has taken over."""
    handler: type[BaseHandler] | None = None
    try:
        handler = workshop.registry.get(execution.run.actor)
        call(handler, execution, workshop)
        return commit(execution)
    except BaseException as error:
        return failure(error, execution, handler)


def call(handler: type[BaseHandler], execution: Execution, workshop: Workshop) -> None:
    kwargs = workshop.registry.signature(handler.__name__).bind(execution.run.kwargs)
    cancellation = execution.cancellation if handler.interruptible else Cancellation()
    with ending_forks():
        with cancellation.interrupting_thread():
            result = handler(execution).execute(**kwargs)
        if inspect.iscoroutine(result):
            asyncio.run(cancellable(result, cancellation))


@contextmanager
def ending_forks() -> Iterator[None]:
    """A handler may fork. A child that comes back from it, instead of ending, would go on as this worker: speak on its
    sockets, and execute once more what it has claimed. Such a child ends here."""
    home = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != home:
            os._exit(os.EX_SOFTWARE)


async def cancellable(work: Coroutine[Any, Any, Any], cancellation: Cancellation) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    try:
        cancellation.open(lambda: loop.call_soon_threadsafe(task.cancel))
        await work
    finally:
        cancellation.close()
        work.close()


def commit(execution: Execution) -> Outcome | None:
    if execution.opened is None:
        return Succeeded()
    try:
        behave_as_hot(execution.opened)
        if execution.run.run_id in finish_runs(execution.opened, [Ending(execution.run, "succeeded")]):
            execution.opened.commit()
        else:
            log.warning("run %s was taken over by another attempt; its work is undone", execution.run_id)
    except DBAPIError as error:
        if not (is_lost(error) or is_busy(error)):
            raise
        # Whether it was committed is not known. If it was, this report finds the run ended and changes nothing.
        line, traceback = describe_exception(error)
        if execution.run.recoveries >= MAX_RECOVERIES:
            return Failed(line, traceback)
        return HandedBack(f"Its transaction could not be committed: {line}", lost=True)
    return None


def failure(error: BaseException, execution: Execution, handler: type[BaseHandler] | None) -> Outcome:
    """What a raised exception means: another attempt after a while, or that the run has failed; which is recorded as
    cancelled if that was asked for."""
    free_logging()
    run = execution.run
    line, traceback = describe_exception(error)
    what = "was cancelled" if execution.cancelled else "failed"
    log.warning("job=%s run=%s attempt %d of %s %s: %s", run.job_id, run.run_id, run.attempt, run.actor, what, line)
    if handler is None or execution.cancelled or run.failures >= own(run.max_retries, handler.max_retries):
        return Failed(line, traceback)
    delay = own(run.retry_delay, handler.retry_delay)
    return RetryAt(min(delay * 2 ** min(run.failures, 16), max(delay, LONGEST_RETRY_DELAY)), line, traceback)


def own(of_job: T | None, of_handler: T) -> T:
    return of_handler if of_job is None else of_job
