"""The one thread and the one connection by which a worker process lives on the database.

In a round, which is one transaction, it records what came of runs and claims new ones, as many as threads are idle.
In between it sleeps until a result is reported, a notification comes, the next queued run may be claimed, or its
lease is to be renewed. Its session holds the advisory lock that says that the process lives.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.broker.record import Result, record, record_singly
from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.run import HandedBack, Outcome
from bayesian_jobs.presence.bell import Bell
from bayesian_jobs.presence.complaints import Complaints
from bayesian_jobs.presence.membership import (
    LEASE,
    POLL_EVERY,
    RECONNECT_AFTER,
    RENEW_EVERY,
    GivenUp,
    Membership,
    one_line,
    trouble,
)
from bayesian_jobs.store.claims import Claim, ClaimedRun, RunKey, claim_runs, next_claim_in, reject_runs
from bayesian_jobs.store.engine import is_lost

SOONEST, LATEST = 0.05, 1.0
"""Seconds to wait before looking again for runs that are due and yet cannot be claimed: doubled each time."""
RETRY_EVERY = 2.0
CLOSE_WITHIN = 10.0

log = logging.getLogger(__name__)


class Claimer(Thread):
    """Claims runs of the queues that are consumed, for `capacity` threads, and records the results they report."""

    def __init__(self, engine: Engine, capacity: int) -> None:
        super().__init__(name="claimer", daemon=True)
        self._engine = engine
        self._capacity = capacity
        self._bell = Bell()
        self._complaints = Complaints(log)
        self._lock = Lock()
        self._inboxes: dict[str, SimpleQueue[ClaimedRun]] = {}
        self._executing: dict[RunKey, ClaimedRun] = {}
        self._results: list[Result] = []
        self._claiming = True
        self._closing = False
        self._maybe_more = True
        self._wait = SOONEST
        self._waiting: list[Result] = []
        self._retry_at = 0.0
        self._look_at = 0.0
        self._renew_at = 0.0
        self._membership = Membership(engine, "worker")

    # What the threads of the worker call.

    def consume(self, queue: str) -> None:
        """Claim runs of this queue from now on."""
        with self._lock:
            self._inboxes.setdefault(queue, SimpleQueue())
        self._look_now()

    def next_run(self, queue: str, timeout: float) -> ClaimedRun | None:
        """A claimed run of the queue; None if none comes within `timeout` seconds."""
        try:
            return self._inboxes[queue].get(timeout=timeout)
        except Empty:
            return None

    def report(self, run: ClaimedRun, outcome: Outcome, message: Mapping[str, Any] | None = None) -> None:
        """Have the outcome recorded; only the first one that is reported of an attempt counts."""
        with self._lock:
            if run.key in self._executing:
                self._results.append(Result(run, outcome, message))
                del self._executing[run.key]
        self._bell.ring()

    def release(self, run: ClaimedRun) -> None:
        """The thread is idle again; what came of the run has been recorded by somebody else."""
        with self._lock:
            reported = self._executing.pop(run.key, None) is None
        if not reported:
            self._bell.ring()

    def executing(self, run_id: str) -> ClaimedRun | None:
        """The run, if this process executes it now."""
        with self._lock:
            same = [run for run in self._executing.values() if run.run_id == run_id]
        return max(same, key=lambda run: run.attempt, default=None)

    def stop_claiming(self) -> None:
        """Claim no more, and hand back what no thread has begun."""
        with self._lock:
            self._claiming = False
            inboxes = list(self._inboxes.values())
        for inbox in inboxes:
            with suppress(Empty):
                while True:
                    self.report(inbox.get_nowait(), HandedBack(reasons.SHUT_DOWN, begun=False))

    def close(self) -> None:
        """Hand back what is still executing, record all results and sign off. The process is about to end."""
        self.stop_claiming()
        for run in list(self._executing.values()):
            self.report(run, HandedBack(reasons.SHUT_DOWN))
        self._closing = True
        self._bell.ring()
        self.join(CLOSE_WITHIN)

    def _look_now(self) -> None:
        self._look_at = 0.0
        self._bell.ring()

    # What its own thread does.

    def run(self) -> None:
        while not self._is_done():
            try:
                with self._membership.join(self._held_runs()) as connection:
                    self._complaints.withdraw()
                    self._look_at = self._renew_at = 0.0
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
        return self._closing and not self._results and not self._waiting

    def _held_runs(self) -> set[str]:
        with self._lock:
            runs = [*self._executing.values(), *(result.run for result in self._results + self._waiting)]
        return {run.run_id for run in runs}

    def _serve(self, connection: Connection) -> None:
        while not self._is_done():
            self._renew_lease(connection)
            try:
                self._round(connection)
            except DBAPIError as error:
                if is_lost(error):
                    raise
                log.warning("the results of this round are recorded one by one: %s", one_line(error))
            self._sleep()
        self._membership.end(connection)

    def _renew_lease(self, connection: Connection) -> None:
        if time.monotonic() >= self._renew_at:
            self._membership.renew(connection, list(self._held_runs()))
            self._renew_at = time.monotonic() + RENEW_EVERY

    def _round(self, connection: Connection) -> None:
        """Record and claim in one transaction. Results that cannot be recorded in it are recorded by themselves."""
        self._record_waiting(connection)
        with self._lock:
            results, self._results = self._results, []
            held = [run.run_id for run in self._executing.values()]
            idle = self._idle_threads()
            queues = list(self._inboxes)
        look = idle > 0 and bool(queues) and (self._maybe_more or time.monotonic() >= self._look_at)
        if not results and not look:
            return
        self._waiting += results
        with connection.begin():
            stale = record(connection, results) if results else 0
            claim = self._claim(connection, queues, idle, held) if look else None
        self._waiting = self._waiting[: -len(results) or None]
        if stale:
            log.warning("%d results came too late: another attempt had taken over", stale)
        if claim is not None:
            self._deliver(connection, claim)

    def _record_waiting(self, connection: Connection) -> None:
        """Results of a round that failed, one by one; those for which that fails too wait for a while."""
        if self._waiting and time.monotonic() >= self._retry_at:
            self._waiting = record_singly(connection, self._waiting)
            self._retry_at = time.monotonic() + RETRY_EVERY

    def _idle_threads(self) -> int:
        return self._capacity - len(self._executing) if self._claiming else 0

    def _claim(self, connection: Connection, queues: list[str], idle: int, held: list[str]) -> Claim:
        first = int(time.monotonic() * 1000) % len(queues)  # No queue is always the last one to be looked at.
        queues = queues[first:] + queues[:first]
        process_no = self._membership.process_no
        claim = claim_runs(connection, process_no, queues, idle, holding=held, lease=LEASE)
        if not claim.held:
            raise GivenUp
        self._maybe_more = bool(claim.started or claim.rejected) or len(queues) < len(self._inboxes)
        if self._maybe_more:
            self._wait = SOONEST
        else:
            self._look_at = time.monotonic() + self._until_next(next_claim_in(connection, queues))
        return claim

    def _until_next(self, wait: timedelta | None) -> float:
        """Seconds until it is worth looking again. What is due already and yet was not claimed (the service is
        paused, others hold it) is looked at more and more rarely; a resumed service notifies."""
        if wait is None:
            return POLL_EVERY
        if wait > timedelta(0):
            return min(wait.total_seconds(), POLL_EVERY)
        self._wait = min(self._wait * 2, LATEST)
        return self._wait

    def _deliver(self, connection: Connection, claim: Claim) -> None:
        with self._lock:
            self._executing.update((run.key, run) for run in claim.started)
        for run in claim.started:
            self._inboxes[run.queue].put(run)
        if not self._claiming:
            self.stop_claiming()
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
        with self._lock:
            idle = self._idle_threads() > 0
            if self._results or (idle and self._maybe_more):
                return
        wake_at = min(
            self._renew_at,
            self._look_at if idle else self._renew_at,
            self._retry_at if self._waiting else self._renew_at,
        )
        self._bell.sleep(wake_at - time.monotonic(), self._membership.session)
        if self._membership.notified() & set(self._inboxes):
            self._maybe_more = True
            self._wait = SOONEST
