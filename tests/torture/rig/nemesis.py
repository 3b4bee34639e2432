"""Carries the plan out: each fault in a thread of its own, healed when its time is over, and written down."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg2

from rig.fleet import Fleet
from rig.history import Event
from rig.plan import Fault
from rig.proxy import Mode
from rig.replica import Replica
from rig.servers import ServerFaults

SESSIONS = {
    "all": "true",
    "listening": "query ILIKE 'LISTEN%%' OR wait_event = 'ClientRead' AND state = 'idle'",
    "in a transaction": "state LIKE 'idle in transaction%%' OR state = 'active'",
}
END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'bayesian-jobs%%' AND ({})
"""
RESTART_WITHIN = 30.0


class NothingThereError(Exception):
    """What the fault was to befall is not there at the moment, or in the hands of another fault."""


class Nemesis:
    def __init__(self, fleet: Fleet, plan: list[Fault]) -> None:
        self.events: list[Event] = []
        self.errors: list[str] = []
        self._fleet = fleet
        self._plan = plan
        self._postgres = threading.Lock()
        """Held by the one fault that restarts, stops, shifts or fills PostgreSQL."""
        self._busy: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._ways: dict[str, Callable[[Fault, Event], Any]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "zombie": self._zombie,
            "restart postgres": self._restart,
            "stop postgres": self._stop,
            "end sessions": self._end_sessions,
            "network": self._network,
            "reset": self._reset,
            "swallow": self._swallow,
            "clock of a replica": self._shift_replica,
            "clock of postgres": self._shift_postgres,
            "read only": self._read_only,
            "lock table": self._lock_table,
            "full disk": self._fill_disk,
            "no scheduler": self._no_scheduler,
            "rolling restart": self._rolling_restart,
        }
        if fleet.broker is not None:
            self._ways |= ServerFaults(fleet.broker, "broker").ways
        if fleet.pooler is not None:
            self._ways |= ServerFaults(fleet.pooler, "pooler").ways

    def run(self, begun: float) -> None:
        """Until the last fault is healed; `begun`: the monotonic time from which the plan counts."""
        for fault in self._plan:
            time.sleep(max(begun + fault.at - time.monotonic(), 0))
            thread = threading.Thread(target=self._inflict, args=(fault,), name=fault.what, daemon=True)
            thread.start()
            self._threads.append(thread)
        for thread in self._threads:
            thread.join(120)

    def _inflict(self, fault: Fault) -> None:
        event = Event(fault.what, fault.how, time.monotonic_ns())
        try:
            self._ways[fault.what](fault, event)
        except NothingThereError as nothing:
            event.detail = f"could not be done: {nothing}"
        except Exception as error:  # The rig must tell of it, and heal the rest.
            self.errors.append(f"{fault.what} at {fault.at}: {type(error).__name__}: {error}")
            event.detail = f"could not be done: {error}"
        event.ended = time.monotonic_ns()
        self.events.append(event)

    def _pick(self, kinds: tuple[str, ...], fault: Fault) -> Replica:
        """A living replica that no other fault of some duration has in hand."""
        free = [each for kind in kinds for each in self._fleet.of(kind) if each.name not in self._busy]
        its = [each for each in free if each.is_alive()]
        if not its:
            raise NothingThereError(f"no {' or '.join(kinds)} is alive and free")
        return its[fault.which % len(its)]

    def _kill(self, fault: Fault, event: Event) -> None:
        with self._fleet.lock:
            replica = self._pick((fault.how,), fault)
            event.target, event.detail = replica.name, f"pid {replica.pid}"
            replica.kill()

    def _freeze(self, fault: Fault, event: Event) -> None:
        with self._fleet.lock:
            replica = self._pick((fault.how,), fault)
            self._busy.add(replica.name)
            replica.freeze()
        event.target, event.detail = replica.name, f"pid {replica.pid} for {fault.lasts} s"
        time.sleep(fault.lasts)
        with self._fleet.lock:
            replica.thaw()
            self._busy.discard(replica.name)

    def _zombie(self, fault: Fault, event: Event) -> None:
        """A worker frozen beyond its lease."""
        self._freeze(Fault(fault.at, fault.what, fault.which, fault.lasts, "worker"), event)

    def _restart(self, fault: Fault, event: Event) -> None:
        with self._postgres:
            event.begun = time.monotonic_ns()
            self._fleet.postgres.restart(fault.how)

    def _stop(self, fault: Fault, event: Event) -> None:
        with self._postgres:
            event.begun = time.monotonic_ns()
            self._fleet.postgres.stop(fault.how)
            time.sleep(fault.lasts)
            self._fleet.postgres.restart(fault.how)

    def _end_sessions(self, fault: Fault, event: Event) -> None:
        try:
            ((number,),) = self._fleet.sql(END_SESSIONS.format(SESSIONS[fault.how]))
        except psycopg2.OperationalError as error:
            raise NothingThereError("PostgreSQL does not answer") from error
        event.detail = f"{number} sessions"

    def _network(self, fault: Fault, event: Event) -> None:
        with self._fleet.lock:
            replica = self._pick(("scheduler", "worker", "api"), fault)
            self._busy.add(replica.name)
        event.target, event.detail = replica.name, f"{fault.how} for {fault.lasts} s"
        replica.proxy.set_mode(Mode(fault.how))
        time.sleep(fault.lasts)
        replica.proxy.set_mode(Mode.PASS)
        replica.proxy.reset()
        self._busy.discard(replica.name)

    def _reset(self, fault: Fault, event: Event) -> None:
        replica = self._pick((fault.how,), fault)
        event.target, event.detail = replica.name, f"{replica.proxy.reset()} connections"

    def _swallow(self, fault: Fault, event: Event) -> None:
        replica = self._pick((fault.how,), fault)
        before = replica.proxy.swallowed
        replica.proxy.swallow(3)
        time.sleep(fault.lasts)
        replica.proxy.swallow(0)
        event.target, event.detail = replica.name, f"{replica.proxy.swallowed - before} replies"

    def _shift_replica(self, fault: Fault, event: Event) -> None:
        replica = self._pick(("scheduler", "worker", "api"), fault)
        event.target, event.detail = replica.name, f"{fault.how} s for {fault.lasts} s"
        replica.clock.shift(float(fault.how))
        time.sleep(fault.lasts)
        replica.clock.shift(0)

    def _shift_postgres(self, fault: Fault, event: Event) -> None:
        with self._postgres:
            event.begun = time.monotonic_ns()
            event.detail = f"{fault.how} s for {fault.lasts} s"
            self._fleet.postgres.clock.shift(float(fault.how))
            time.sleep(fault.lasts)
            self._fleet.postgres.clock.shift(0)

    def _read_only(self, fault: Fault, event: Event) -> None:
        with self._postgres:
            event.begun = time.monotonic_ns()
            self._fleet.sql("ALTER SYSTEM SET default_transaction_read_only = on")
            self._fleet.sql("SELECT pg_reload_conf()")
            time.sleep(fault.lasts)
            self._fleet.sql("ALTER SYSTEM RESET default_transaction_read_only")
            self._fleet.sql("SELECT pg_reload_conf()")

    def _lock_table(self, fault: Fault, event: Event) -> None:
        with suppress(psycopg2.Error), self._fleet.postgres.connect() as session, session.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SET LOCAL lock_timeout = '5s'")
            cursor.execute(f"LOCK TABLE {fault.how} IN ACCESS EXCLUSIVE MODE")
            time.sleep(fault.lasts)
            cursor.execute("ROLLBACK")

    def _fill_disk(self, fault: Fault, event: Event) -> None:
        with self._postgres:
            event.begun = time.monotonic_ns()
            self._fleet.postgres.fill_disk()
            time.sleep(fault.lasts)
            self._fleet.postgres.free_disk()

    def _no_scheduler(self, fault: Fault, event: Event) -> None:
        """All schedulers are gone for a while."""
        with self._fleet.lock:
            its = [each for each in self._fleet.of("scheduler") if each.name not in self._busy]
            self._busy.update(each.name for each in its)
            for replica in its:
                replica.stop()
        event.detail = f"{len(its)} of them for {fault.lasts} s"
        time.sleep(fault.lasts)
        with self._fleet.lock:
            for replica in its:
                replica.start()
                self._busy.discard(replica.name)

    def _rolling_restart(self, fault: Fault, event: Event) -> None:
        """Every replica, one after the other, is told to stop and started again."""
        slow = []
        for replica in self._fleet.replicas:
            with self._fleet.lock:
                if replica.name in self._busy:
                    continue
                self._busy.add(replica.name)
            if not replica.terminate(RESTART_WITHIN):
                slow.append(replica.name)
            with self._fleet.lock:
                replica.start()
                self._busy.discard(replica.name)
        event.detail = f"did not stop within {RESTART_WITHIN:.0f} s: {', '.join(slow)}" if slow else ""


def possible(fleet: Fleet, plan: list[Fault]) -> tuple[list[Fault], list[str]]:
    """What of the plan can be done on this machine, and which kinds cannot, with the reason."""
    missing = {}
    if not fleet.can_shift_clocks:
        missing |= dict.fromkeys(("clock of a replica", "clock of postgres"), "there is no C compiler (cc)")
    if not fleet.postgres.small_disk:
        missing["full disk"] = "only root may mount a small disk"
    return [fault for fault in plan if fault.what not in missing], [f"{kind}: {why}" for kind, why in missing.items()]
