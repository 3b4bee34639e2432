"""Where a worker's claimer finds runs: by looking into its queues in PostgreSQL."""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from sqlalchemy import Connection

from bayesian_jobs.broker.handover import Demand
from bayesian_jobs.broker.lookout import POLL_EVERY, Lookout
from bayesian_jobs.presence.membership import HOLDING
from bayesian_jobs.store.claims import Claim, claim_runs, next_claim_in
from bayesian_jobs.store.endings import Ending


class Source(Protocol):
    """Used by the claimer's thread only."""

    @property
    def at(self) -> float:
        """When to look for runs again, by the monotonic clock, if nothing rings before."""

    def begin_anew(self) -> None:
        """The connection is a new one: nobody knows what has been notified meanwhile."""

    def notified(self) -> None:
        """Somebody has notified that runs wait in one of the queues."""

    def has_failed(self) -> None:
        """A look has failed; what is due is still to be found."""

    def has_news(self, queues: set[str]) -> bool:
        """Whether it is worth looking into these queues at once."""

    def is_worth_looking(self, connection: Connection, demand: Demand) -> bool:
        """Whether runs are wanted, and something is expected."""

    def claim(
        self,
        connection: Connection,
        demand: Demand,
        process_no: int,
        holding: Sequence[str],
        *,
        tell: bool,
        endings: Sequence[Ending],
    ) -> Claim:
        """Record the endings and start as many runs as are demanded, as `claim_runs` does."""

    def close(self) -> None:
        """The claimer ends."""


class QueueSource:
    """Claims what waits in the queues, when it may be claimed or somebody notifies of it, and by a slow poll."""

    def __init__(self, poll_every: float = POLL_EVERY) -> None:
        self._lookout = Lookout(poll_every)
        self.begin_anew = self._lookout.begin_anew
        self.notified = self._lookout.notified
        self.has_failed = self._lookout.has_failed

    @property
    def at(self) -> float:
        return self._lookout.at

    def has_news(self, queues: set[str]) -> bool:
        return self._lookout.maybe_more or not self._lookout.consumes(queues)

    def is_worth_looking(self, connection: Connection, demand: Demand) -> bool:
        """A poll without any sign of something only asks when there will be."""
        self._lookout.look_into(demand.queues)
        if not demand.is_for_runs:
            return False
        if self._lookout.maybe_more:
            return True
        if time.monotonic() < self._lookout.at:
            return False
        if self._lookout.expecting:
            return True
        with connection.begin():
            wait = next_claim_in(connection, demand.queues)
        if wait is not None and wait <= timedelta(0):
            return True
        self._lookout.wait_for(wait)
        return False

    def claim(
        self,
        connection: Connection,
        demand: Demand,
        process_no: int,
        holding: Sequence[str],
        *,
        tell: bool,
        endings: Sequence[Ending],
    ) -> Claim:
        first = int(time.monotonic() * 1000) % len(demand.queues)  # No queue is always the last to be looked at.
        queues = demand.queues[first:] + demand.queues[:first]
        claim = claim_runs(
            connection,
            process_no,
            queues,
            demand.idle,
            ahead=demand.ahead,
            holding=holding,
            lease=HOLDING.lease,
            tell=tell,
            endings=endings,
        )
        if claim.started or claim.rejected:
            self._lookout.has_found()
        else:
            self._lookout.wait_for(next_claim_in(connection, queues))
        return claim

    def close(self) -> None:
        """Nothing is left behind."""
