"""Where a worker's claimer finds runs if Redis or RabbitMQ tells of them."""

import math
from collections.abc import Sequence

from sqlalchemy import Connection

from bayesian_jobs.broker.handover import Demand
from bayesian_jobs.broker.transports.inbox import Inbox
from bayesian_jobs.broker.transports.receiver import Receiver
from bayesian_jobs.broker.transports.transport import Transport
from bayesian_jobs.presence.bell import Bell
from bayesian_jobs.presence.membership import HOLDING
from bayesian_jobs.store.claims import Claim
from bayesian_jobs.store.doorbells import RunAt, start_runs
from bayesian_jobs.store.endings import Ending

CLOSE_WITHIN = 5.0


class DoorbellSource:
    """Starts the runs that doorbells name; it looks for none itself.

    A doorbell whose run does not start now (it has started already, the service is paused, somebody holds its row) is
    done with, as those of a transaction that fails: the run is told of again. If the connection is lost, they are tried
    once more on the next one.
    """

    at = math.inf

    def __init__(self, transport: Transport, threads: int, bell: Bell) -> None:
        self._transport = transport
        self._prefetch = 2 * threads  # as Dramatiq's own workers have it
        self._inbox = Inbox(bell)
        self._tried: list[RunAt] = []
        self._again: list[RunAt] = []
        self._receivers: dict[str, Receiver] = {}

    def begin_anew(self) -> None:
        """Whether the last ones have started before the connection was lost, nobody knows: to try again does no
        harm."""
        self._again, self._tried = self._tried, []

    def notified(self) -> None:
        """Whoever tells of runs hears that too."""

    def has_failed(self) -> None:
        """What was to be started is told of again."""

    def has_news(self, queues: set[str]) -> bool:
        return self._has_some or not queues <= self._receivers.keys()

    @property
    def _has_some(self) -> bool:
        return bool(self._again) or not self._inbox.is_empty

    def is_worth_looking(self, connection: Connection, demand: Demand) -> bool:
        for queue in demand.queues:
            if queue not in self._receivers:
                self._receivers[queue] = Receiver(self._transport, queue, self._inbox, self._prefetch)
                self._receivers[queue].start()
        self._inbox.want(demand.is_for_runs)
        return demand.is_for_runs and self._has_some

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
        limit = demand.idle + demand.ahead
        again, self._again = self._again[:limit], self._again[limit:]
        self._tried = self._inbox.take(limit - len(again))
        return start_runs(
            connection,
            process_no,
            again + self._tried,  # Nothing, if a receiver has given them back meanwhile.
            queues=demand.queues,
            idle=demand.idle,
            holding=holding,
            lease=HOLDING.lease,
            tell=tell,
            endings=endings,
        )

    def close(self) -> None:
        """Give the doorbells back that have come, and listen no more."""
        self._inbox.close()
        for receiver in self._receivers.values():
            receiver.join(CLOSE_WITHIN)
        self._transport.close()
