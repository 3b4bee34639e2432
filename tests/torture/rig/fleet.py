"""All processes of one torture: PostgreSQL, the proxies, the replicas, and what keeps them."""

import json
import os
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ports import free_port

from bayesian_jobs.store import migrations
from rig.clocks import Shim
from rig.evidence import AUDIT
from rig.postgres import Postgres
from rig.proxy import Loop, Proxy
from rig.replica import Replica
from rig.servers import make_broker, make_pooler

HERE = Path(__file__).parents[1]
CARE_EVERY = 0.2


@dataclass(frozen=True, slots=True)
class Size:
    """How many of each process."""

    schedulers: int
    workers: int
    apis: int = 1
    threads: int = 8
    transport: str = "postgres"
    """What carries messages to the workers: that, redis or rabbitmq."""
    pooled: bool = False
    """Whether a PgBouncer in transaction mode is in front of PostgreSQL."""


class Fleet:
    def __init__(self, place: Path, size: Size) -> None:
        self.place = place
        self.evidence = place / "evidence"
        self.lock = threading.RLock()
        """Held by whoever starts, ends or freezes a replica."""
        self._shim = Shim.build(place)
        (pg_place := place / "postgres").mkdir(mode=0o711)
        self.postgres = Postgres(pg_place, self._shim.clock(place / "clock-of-postgres"))
        self.can_shift_clocks = self._shim.library is not None
        self.broker = make_broker(size.transport, place)
        self.pooler = make_pooler(size.pooled, place, self.postgres.port)
        self._loop = Loop()
        (place / "default_jobs").mkdir()
        self.replicas: list[Replica] = []
        self._make(size)
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    @property
    def _database_port(self) -> int:
        """What the processes of the service know as PostgreSQL's."""
        return self.pooler.port if self.pooler else self.postgres.port

    def of(self, kind: str) -> list[Replica]:
        return [replica for replica in self.replicas if replica.kind == kind]

    def start(self) -> None:
        self.postgres.make()
        if self.pooler is not None:
            self.pooler.start()
        url = self.postgres.url_at(self._database_port).replace("postgresql://", "postgresql+psycopg2://")
        migrations.upgrade(url, pooled=self.pooler is not None)
        with self.postgres.connect() as session, session.cursor() as cursor:
            cursor.execute(AUDIT)
        if self.broker is not None:
            self.broker.start()
        for replica in self.replicas:
            replica.start()
        self.wait_until(self.all_ready, "all processes are ready")
        self._keeper.start()

    def stop(self) -> None:
        self._over.set()
        if self._keeper.is_alive():
            self._keeper.join(60)
        for replica in self.replicas:
            replica.stop()
            replica.proxy.close()
        self._loop.stop()
        if self.broker is not None:
            self.broker.stop()
        if self.pooler is not None:
            self.pooler.stop()
        self.postgres.remove()

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """In a session of its own, past all proxies. Raises psycopg2.Error."""
        session = self.postgres.connect()
        try:
            with session.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            session.close()

    def wait_until(self, condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        give_up = time.monotonic() + seconds
        while not (answer := condition()):
            if time.monotonic() > give_up:
                raise RuntimeError(f"not within {seconds:.0f} s: {what}; see {self.place}")
            time.sleep(0.1)
        return answer

    def _make(self, size: Size) -> None:
        for number in range(size.schedulers):
            self._add(f"scheduler-{number}", ("scheduler",))
        for number in range(size.workers):
            self._add(f"worker-{number}", ("worker", "--threads", str(size.threads)))
        for number in range(size.apis):
            self._add(f"api-{number}", ("api",))

    def _add(self, name: str, arguments: tuple[str, ...]) -> None:
        proxy = Proxy(self._loop, self._database_port)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place),
            "DATABASE_URL": self.postgres.url_at(proxy.port),
            "DATABASE_POOLED": "yes" if self.pooler else "no",
            "BROKER_URL": self.broker.url if self.broker else "",
            "JOBS_PORT": str(free_port()),
            "JOBS_HANDLERS": "rig.handlers",
            "JOBS_DEFAULT_JOBS_DIR": str(self.place / "default_jobs"),
            "JOBS_DRAIN": "5 seconds",
            "JOBS_LOG_LEVEL": "INFO",
            "PYTHONPATH": f"{HERE}:{HERE.parents[1]}",
            "EVIDENCE": str(self.evidence),
        }
        clock = self._shim.clock(self.place / f"clock-of-{name}")
        self.replicas.append(Replica(name, arguments, environment, self.place, proxy, clock))

    def api_url(self, replica: Replica) -> str:
        return f"http://127.0.0.1:{replica.port}/api/v1"

    def all_ready(self) -> bool:
        """Whether all schedulers and workers are among the living, and all APIs answer."""
        its = self.of("scheduler") + self.of("worker")
        alive = {pid for (pid,) in self.sql("SELECT pid FROM processes WHERE ended_at IS NULL")}
        return all(each.is_alive() and each.pid in alive for each in its) and all(map(self._answers, self.of("api")))

    def _answers(self, api: Replica) -> bool:
        try:
            with urllib.request.urlopen(f"{self.api_url(api)}/liveness", timeout=2) as answer:
                json.load(answer)
                return True
        except OSError:
            return False

    def _keep(self) -> None:
        while not self._over.wait(CARE_EVERY):
            with self.lock:
                for replica in self.replicas:
                    replica.care()
