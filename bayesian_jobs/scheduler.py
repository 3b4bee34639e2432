"""The scheduler process: ticks for ever. Any number of them may run on one database."""

import logging
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import psycopg2
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.bootstrap import assemble, transport_of
from bayesian_jobs.broker.transports.sender import Sender
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle.admit import admit_jobs
from bayesian_jobs.lifecycle.defaults_at_start import registering
from bayesian_jobs.lifecycle.dispatch import BATCH, dispatch_batch
from bayesian_jobs.lifecycle.recover import LOOK_AT_REST_EVERY, LOOK_EVERY, recover
from bayesian_jobs.lifecycle.service import resume_if_over
from bayesian_jobs.logs import configure_logging
from bayesian_jobs.presence.bell import Bell
from bayesian_jobs.presence.complaints import Complaints
from bayesian_jobs.presence.membership import (
    POLL_EVERY,
    RECONNECT_AFTER,
    GivenUp,
    Membership,
    one_line,
    trouble,
)
from bayesian_jobs.settings import Settings
from bayesian_jobs.store.closing import close_left_open
from bayesian_jobs.store.dispatch import Settled, what_comes
from bayesian_jobs.store.engine import database_now, is_lost
from bayesian_jobs.store.notifications import HELD
from bayesian_jobs.store.partitions import make_ahead

log = logging.getLogger(__name__)

ADMIT_EVERY = 2 * POLL_EVERY
"""Only while full batch follows full batch; otherwise each look for due jobs tells when there is something to admit."""
CLOSE_EVERY, CLOSE_AT_REST_EVERY = 5.0, 60.0
"""Ends of runs leave jobs open, and at rest no run ends."""
WATCHFUL_FOR = 2.5
"""Seconds after the last sign that somebody holds runs, in which this scheduler looks after the others all the same.
More than twice what lies between two such signs of a worker that works."""


@dataclass(slots=True)
class Duty:
    """Something to be done again and again: how, how often (seconds), and when next (monotonic time)."""

    do: Callable[[Connection], None]
    every: float
    at: float = 0.0


class Scheduler:
    """Dispatches due jobs, admits new ones and looks after what is left behind, until it is stopped."""

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self._registry = registry
        self._bell = Bell()
        self._complaints = Complaints(log)
        self._membership = Membership(engine, "scheduler")
        self._stopping = False
        self._poll_every = self._membership.poll_every(POLL_EVERY)
        self._dispatching = Duty(self._dispatch, self._poll_every)
        self._closing = Duty(self._close_left_open, CLOSE_EVERY)
        self._admitting = Duty(self._admit, ADMIT_EVERY)
        self._recovering = Duty(self._recover, LOOK_EVERY.total_seconds())
        self._duties = [
            self._dispatching,
            self._admitting,
            self._recovering,
            self._closing,
            Duty(self._make_partitions, 600),
        ]
        self._renew_at = 0.0
        self._expecting = True
        self._watchful_until = 0.0

    def tick(self, connection: Connection) -> None:
        """Do what is due now, dispatch first. One duty that cannot be done for the moment does not keep the others
        from being done."""
        for duty in self._duties:
            if time.monotonic() >= duty.at:
                duty.at = time.monotonic() + duty.every
                try:
                    duty.do(connection)
                except DBAPIError as error:
                    if is_lost(error):
                        raise
                    log.warning("put off: %s", one_line(error))

    def run_forever(self) -> None:
        """Tick, and sleep until the next job is due, until one is defined, or until there is something to look after;
        through every loss of the database."""
        while not self._stopping:
            try:
                with self._membership.join(set()) as connection:
                    self._complaints.withdraw()
                    self._dispatching.at = self._recovering.at = self._renew_at = 0.0
                    self._expecting = True
                    self._live(connection)
            except GivenUp:
                log.warning("this scheduler was given up for dead; it joins again as a new one")
            except (DBAPIError, psycopg2.Error) as error:
                self._complaints.complain(trouble(error))
                lost = not isinstance(error, DBAPIError) or is_lost(error)
                self._bell.sleep(RECONNECT_AFTER if lost else POLL_EVERY)
            except Exception:
                log.exception("unexpected; trying again")
                self._bell.sleep(POLL_EVERY)

    def stop(self) -> None:
        """Let `run_forever` return after the batch that is under way. May be called by a signal handler."""
        self._stopping = True
        self._bell.ring()

    def _live(self, connection: Connection) -> None:
        while not self._stopping:
            if time.monotonic() >= self._renew_at:
                self._renew_at = time.monotonic() + self._membership.renew(connection)
            self.tick(connection)
            wake_at = min(self._renew_at, *(duty.at for duty in self._duties))
            self._bell.sleep(wake_at - time.monotonic(), self._membership.session)
            self._heed(self._membership.notified())
        self._membership.end(connection)

    def _heed(self, notified: set[str]) -> None:
        """That somebody holds runs from now on, or that there is something to dispatch."""
        if HELD in notified:
            self._be_watchful()
        if notified - {HELD}:
            self._dispatch_soon()
            self._closing.at = min(self._closing.at, time.monotonic() + CLOSE_EVERY)

    def _be_watchful(self) -> None:
        now = time.monotonic()
        self._watchful_until = now + WATCHFUL_FOR
        self._recovering.at = min(self._recovering.at, now + LOOK_EVERY.total_seconds())
        self._closing.at = min(self._closing.at, now + CLOSE_EVERY)

    def _dispatch_soon(self) -> None:
        self._dispatching.at, self._expecting = 0.0, True

    def _dispatch(self, connection: Connection) -> None:
        """One batch if a job is expected to be due; when it was full, the next one follows at once, else when the next
        job is due. With no job expected, only the look whether one is."""
        expected, settled = self._expecting, dispatch_batch(connection) if self._expecting else None
        if settled is not None:
            report(settled)
        if settled is not None and settled.waiting:
            self._closing.at = 0.0  # The run that they wait for may have ended while they were judged.
        if settled is not None and settled.jobs == BATCH:
            self._dispatch_soon()
            return
        with connection.begin():
            coming = what_comes(connection)
        admit_in = ADMIT_EVERY if coming.admission is None else coming.admission.total_seconds()
        self._admitting.at = time.monotonic() + min(admit_in, ADMIT_EVERY)
        seconds = self._poll_every if coming.due is None else coming.due.total_seconds()
        if expected and settled is None:  # What is due now is held by another scheduler.
            seconds = max(seconds, LOOK_EVERY.total_seconds())
        self._expecting = seconds < self._poll_every
        self._dispatching.at = time.monotonic() + min(max(seconds, 0), self._poll_every)

    def _admit(self, connection: Connection) -> None:
        resumed = resume_if_over(connection)
        if resumed:
            log.info("the pause of the service is over")
        if done := admit_jobs(connection, self._registry):
            log.info("admitted %d jobs, resumed %d, set %d aside", done.admitted, done.resumed, done.set_aside)
        if resumed or done:  # What they have due now, and whether there are more.
            self._dispatch_soon()

    def _recover(self, connection: Connection) -> None:
        """Look after the others: often while they hold runs, or one of them seems to be dead."""
        if recover(connection, self._membership.process_no).look_soon:
            self._be_watchful()
        elif time.monotonic() >= self._watchful_until:
            self._recovering.at = time.monotonic() + self._membership.poll_every(LOOK_AT_REST_EVERY.total_seconds())

    def _close_left_open(self, connection: Connection) -> None:
        with connection.begin():
            if close_left_open(connection):
                self._dispatch_soon()
        if time.monotonic() >= self._watchful_until:
            self._closing.at = time.monotonic() + self._membership.poll_every(CLOSE_AT_REST_EVERY, CLOSE_EVERY)

    def _make_partitions(self, connection: Connection) -> None:
        with connection.begin():
            made = make_ahead(connection, database_now(connection))
        if made:
            log.info("made partitions %s", ", ".join(made))


def report(settled: Settled) -> None:
    log.info(
        "dispatched %d jobs: %d runs queued, %d fire times missed, %d skipped",
        settled.jobs,
        settled.queued,
        settled.missed,
        settled.skipped,
    )


def run(settings: Settings) -> int:
    """Register the default jobs, and run one scheduler until SIGTERM or SIGINT."""
    configure_logging(settings.log_level)
    services = assemble(settings, "scheduler")
    scheduler = Scheduler(services.hot_engine, services.registry)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: scheduler.stop())
    log.info("ready")
    transport = transport_of(settings)
    sending = Sender(services.hot_engine, transport).running() if transport else nullcontext()
    with sending, registering(services.engine, services.registry, settings.default_jobs_dir):
        scheduler.run_forever()
    log.info("stopped")
    return 0
