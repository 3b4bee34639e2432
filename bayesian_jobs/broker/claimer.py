"""The one thread and the one connection by which a worker process lives on the database.

In a round, which is one transaction, it records what came of runs and claims new ones: as many as threads are idle,
and where runs are short as many besides as the threads will begin within a moment (`pace.py`). In between it sleeps
until a result is reported, a notification comes, the next queued run may be claimed, or its lease is to be renewed. Its
session holds the advisory lock that says that the process lives.
"""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from threading import Thread

import psycopg2
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.broker.handover import Demand, Handover
from bayesian_jobs.broker.lookout import LATEST, POLL_EVERY
from bayesian_jobs.broker.record import Result, record, record_singly, set_apart
from bayesian_jobs.broker.source import QueueSource, Source
from bayesian_jobs.broker.transports.source import DoorbellSource
from bayesian_jobs.broker.transports.transport import Transport
from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.progress import Progress
from bayesian_jobs.presence.bell import Bell
from bayesian_jobs.presence.complaints import Complaints
from bayesian_jobs.presence.membership import (
    HOLDING,
    RECONNECT_AFTER,
    GivenUp,
    Membership,
    one_line,
    trouble,
)
from bayesian_jobs.store.begins import BEGIN_WITHIN
from bayesian_jobs.store.claimed import RunKey
from bayesian_jobs.store.claims import Claim, reject_runs
from bayesian_jobs.store.endings import Ending
from bayesian_jobs.store.engine import is_busy, is_lost, message_by_message
from bayesian_jobs.store.processes import runs_to_cancel
from bayesian_jobs.store.progress import keep_progress

RETRY_EVERY = 2.0
TELL_EVERY = 1.0
"""Seconds after which schedulers are told again that this process holds runs, when it claims more."""
GATHER_FOR = 0.01
"""Seconds for which results gather while the threads have enough to do."""
CLOSE_WITHIN = 10.0

log = logging.getLogger(__name__)


class Claimer(Thread):
    """Claims runs for the `capacity` threads that `handover` serves, and records the results that they report. With a
    transport it starts those that it is told of, else it looks for them itself."""

    def __init__(self, engine: Engine, capacity: int, transport: Transport | None = None) -> None:
        super().__init__(name="claimer", daemon=True)
        self._bell = Bell()
        self.handover = Handover(capacity, self._bell)
        self._complaints = Complaints(log)
        self._membership = Membership(engine, "worker")
        self._closing = False
        self._source: Source = (
            DoorbellSource(transport, capacity, self._bell)
            if transport
            else QueueSource(self._membership.poll_every(POLL_EVERY))
        )
        self._told_at = 0.0
        self._waiting: list[Result] = []
        self._retry_at = 0.0
        self._renew_at = 0.0

    def close(self) -> None:
        """Hand back what is still executing, record all results and sign off. The process is about to end."""
        self.handover.hand_back_all()
        self._closing = True
        self._bell.ring()
        self.join(CLOSE_WITHIN)
        self._source.close()

    def run(self) -> None:
        """A process whose claimer cannot go on (a handler has closed its files) would live and claim nothing for ever:
        it ends at once instead, and others take back what it held."""
        try:
            self._stay_joined()
        except BaseException:
            log.critical("the claimer cannot go on, and so this worker process ends", exc_info=True)
            os._exit(os.EX_SOFTWARE)

    def _stay_joined(self) -> None:
        while not self._is_done():
            try:
                with self._membership.join(self._held_runs()) as connection:
                    self._complaints.withdraw()
                    self._renew_at = self._told_at = 0.0
                    self._source.begin_anew()
                    self._serve(connection)
                return
            except GivenUp:
                log.warning("this worker was given up for dead; it joins again as a new one")
            except (DBAPIError, psycopg2.Error) as error:
                self._complaints.complain(trouble(error))
                self._bell.sleep(RECONNECT_AFTER if not isinstance(error, DBAPIError) or is_lost(error) else LATEST)
            except Exception:
                log.exception("unexpected; trying again")
                self._bell.sleep(LATEST)

    def _is_done(self) -> bool:
        return self._closing and not self.handover.results and not self._waiting

    def _held_runs(self) -> set[str]:
        return self.handover.held_runs() | {result.run.run_id for result in self._waiting}

    def _serve(self, connection: Connection) -> None:
        while not self._is_done():
            self._renew_lease(connection)
            try:
                self._round(connection)
            except DBAPIError as error:
                if is_lost(error):
                    raise
                log.warning("a round failed; its results are recorded one by one: %s", one_line(error))
                self._source.has_failed()
            self._sleep()
        self._keep_progress(connection, self.handover.take_progress())
        self._membership.end(connection)

    def _renew_lease(self, connection: Connection) -> None:
        if time.monotonic() >= self._renew_at:
            held = list(self._held_runs())
            renew_in = self._membership.renew(connection, held, sorted(self.handover.queues))
            self._renew_at = time.monotonic() + renew_in
            if held:
                self._hear_requests(connection, held)
            self._keep_progress(connection, self.handover.take_progress())

    def _hear_requests(self, connection: Connection, held: list[str]) -> None:
        """Whether somebody has asked for runs to be cancelled; if that cannot be told now, with the next renewal."""
        try:
            with connection.begin():
                to_cancel = runs_to_cancel(connection, self._membership.process_no, held)
        except DBAPIError as error:
            if is_lost(error):
                raise
            log.warning("requests to cancel are looked for later: %s", one_line(error))
        else:
            self.handover.cancel(to_cancel)

    def _keep_progress(self, connection: Connection, progress: Mapping[RunKey, Progress]) -> None:
        """In a transaction of its own: it is never the reason why something that matters is not recorded."""
        if not progress:
            return
        try:
            with connection.begin():
                keep_progress(connection, progress)
        except DBAPIError as error:
            if is_lost(error) or is_busy(error):
                self.handover.return_progress(progress)
            if is_lost(error):
                raise
            log.warning("the progress of %d runs could not be kept: %s", len(progress), one_line(error))

    def _round(self, connection: Connection) -> None:
        """Record and claim in one transaction. Results that cannot be recorded in it are recorded by themselves."""
        self._record_waiting(connection)
        self.handover.hand_back_late()
        demand = self.handover.take()
        self._keep_progress(connection, demand.progress)
        look = self._source.is_worth_looking(connection, demand)
        if not demand.results and not look:
            return
        held = [*demand.held, *(result.run.run_id for result in self._waiting)]
        self._waiting += demand.results
        begin_by = time.monotonic() + BEGIN_WITHIN.total_seconds()
        endings, apart = set_apart(demand.results) if look else ([], demand.results)
        self.handover.right_of_way.free()
        with connection.begin() if apart else message_by_message(connection):
            stale = record(connection, apart) if apart else 0
            claim = self._claim(connection, demand, held, endings) if look else None
        self._waiting = self._waiting[: -len(demand.results) or None]
        if claim is not None:
            stale += len(endings) - claim.ended
        if stale:
            log.warning("%d results came too late: another attempt had taken over", stale)
        if claim is not None:
            self._deliver(connection, claim, demand.idle, begin_by)

    def _record_waiting(self, connection: Connection) -> None:
        """Results of a round that failed, one by one; those for which that fails too wait for a while. What has been
        recorded is done with, though the connection be lost with the next one; and that one goes behind all others."""
        if not self._waiting or time.monotonic() < self._retry_at:
            return
        for _ in range(len(self._waiting)):
            result = self._waiting.pop(0)
            self._waiting.append(result)
            if not record_singly(connection, [result]):
                self._waiting.pop()
        self._retry_at = time.monotonic() + RETRY_EVERY

    def _claim(self, connection: Connection, demand: Demand, held: list[str], endings: Sequence[Ending]) -> Claim:
        tell = time.monotonic() >= self._told_at + TELL_EVERY
        process_no = self._membership.process_no
        return self._source.claim(connection, demand, process_no, held, tell=tell, endings=endings)

    def _deliver(self, connection: Connection, claim: Claim, idle: int, begin_by: float) -> None:
        if not claim.alive:
            raise GivenUp
        self.handover.deliver(claim.started, idle, begin_by)
        if claim.started:
            now = time.monotonic()
            self._renew_at = min(self._renew_at, now + HOLDING.renew_every)
            if claim.told:
                self._told_at = now
        if claim.rejected:
            with connection.begin():
                reject_runs(
                    connection,
                    claim.rejected,
                    late=reasons.MISSED_IN_QUEUE,
                    cancelled=reasons.CANCELLED_INACTIVE,
                )

    def _sleep(self) -> None:
        """Until there is something to do. What is reported meanwhile rings the bell."""
        self.handover.right_of_way.free()
        wanted = self.handover.wanted > 0 and bool(self.handover.queues)
        soon = self._source.has_news(self.handover.queues)
        gathering = not self.handover.is_pressing
        if not gathering and (self.handover.results or (wanted and soon)):
            return
        wake_at = min(
            self._renew_at,
            self.handover.begin_by(),
            time.monotonic() + GATHER_FOR if gathering else self._renew_at,
            self._source.at if wanted else self._renew_at,
            self._retry_at if self._waiting else self._renew_at,
        )
        self._bell.sleep(wake_at - time.monotonic(), self._membership.session)
        self._heed(self._membership.notified())

    def _heed(self, notified: set[str]) -> None:
        """What somebody has notified of: a queue in which something waits, or a run that is to be cancelled."""
        if notified & self.handover.queues:
            self._source.notified()
        if notified & self.handover.held_runs():
            self._renew_at = 0.0
