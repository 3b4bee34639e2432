"""Real schedulers and workers on one database, killed and frozen by the tests."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Mark:
    """A line of the evidence."""

    run_id: str
    attempt: int
    pid: int
    what: str
    at: int


class Fleet:
    """Processes of the service by kind, and what can be seen of their work."""

    def __init__(self, url: str, place: Path) -> None:
        self.engine = create_engine(url, poolclass=NullPool)
        self.evidence = place / "evidence"
        self.log = place / "log"
        (no_jobs := place / "default_jobs").mkdir()
        self.settings = {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "DATABASE_URL": url.replace("postgresql+psycopg2", "postgresql"),
            "JOBS_HANDLERS": "marking",
            "PYTHONPATH": f"{HERE}:{HERE.parents[1]}",
            "EVIDENCE": str(self.evidence),
            "JOBS_DEFAULT_JOBS_DIR": str(no_jobs),
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.sql("CREATE TABLE effects (run_id uuid)")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "bayesian_jobs", *arguments], env=self.settings, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def start_ready(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Started, and entered among the living."""
        process = self.start(*arguments)
        alive = "SELECT FROM processes WHERE pid = :pid AND ended_at IS NULL"
        self.wait_until(lambda: self.sql(alive, pid=process.pid) != [], f"{arguments[0]} is ready")
        return process

    def kill(self, process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> int:
        """Returns the monotonic time of the kill, in nanoseconds."""
        process.send_signal(number)
        at = time.monotonic_ns()
        if number == signal.SIGKILL:
            process.wait()
        return at

    def sql(self, statement: str, **values: Any) -> Any:
        with self.engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return result.all() if result.returns_rows else None

    def add(self, number: int, handler: str = "Mark", period: str | None = None, kwargs: str = "{}") -> None:
        """Further jobs, that are due now."""
        self.sql(
            "INSERT INTO jobs (job_id, handler, kwargs, state, period, starts_at, next_run_at)"
            " SELECT 'job-' || present + n, :handler, CAST(:kwargs AS jsonb), 'running', CAST(:period AS interval),"
            " now(), now()"
            " FROM generate_series(1, :number) AS n, (SELECT count(*) FROM jobs) AS jobs_before (present)",
            number=number,
            handler=handler,
            period=period,
            kwargs=kwargs,
        )
        self.sql("NOTIFY bayesian_jobs_jobs")

    def states(self) -> dict[str, int]:
        return dict(tuple(row) for row in self.sql("SELECT state, count(*) FROM runs GROUP BY state"))

    def marks(self, what: str) -> list[Mark]:
        lines = self.evidence.read_text().splitlines() if self.evidence.exists() else []
        marks = (
            Mark(run, int(attempt), int(pid), kind, int(at)) for run, attempt, pid, kind, at in map(str.split, lines)
        )
        return [mark for mark in marks if mark.what == what]

    def wait_until(self, condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
        give_up = time.monotonic() + seconds
        while not (answer := condition()):
            log = self.log.read_text()[-3000:] if self.log.exists() else ""
            assert time.monotonic() < give_up, f"not within {seconds} s: {what}; {self.states()}; the log:\n{log}"
            time.sleep(0.02)
        return answer

    def wait_until_all_ended(self, seconds: float = 60) -> None:
        to_do = (
            "SELECT FROM runs WHERE state IN ('queued', 'running')"
            " UNION ALL SELECT FROM jobs WHERE next_run_at <= now()"
        )
        self.wait_until(lambda: self.sql(to_do) == [], "all runs have ended", seconds)

    def check_each_effect_once(self) -> None:
        """Every succeeded run has its one effect, every other run none."""
        ((wrong,),) = self.sql(
            "SELECT count(*) FROM (SELECT r.state, count(e.run_id) AS effects FROM runs AS r"
            " LEFT JOIN effects AS e USING (run_id) GROUP BY r.run_id, r.state) AS counted"
            " WHERE effects <> (state = 'succeeded')::int"
        )
        assert wrong == 0

    def check_each_fire_time_once(self) -> None:
        """I1, I2, I3: the fire times from the first to the last one settled are each in exactly one record."""
        jobs = self.sql(
            "SELECT job_no, starts_at, coalesce(next_run_at, starts_at + interval '1 second') AS next_run_at FROM jobs"
            " WHERE handler <> 'ErrorHandler'"
        )
        records = self.sql("SELECT job_no, scheduled_for, missed_count FROM runs WHERE job_no IS NOT NULL")
        recorded = {job.job_no: [] for job in jobs}
        for record in records:
            first = (record.scheduled_for.timestamp(), record.missed_count or 1)
            recorded[record.job_no].append(first)
        for job in jobs:
            begun = job.starts_at.timestamp()
            seen = [round(at - begun) + n for at, count in recorded[job.job_no] for n in range(count)]
            expected = round(job.next_run_at.timestamp() - begun)
            assert sorted(seen) == list(range(expected)), f"job {job.job_no}: {sorted(seen)}"

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        self.engine.dispose()


@pytest.fixture
def fleet(database_url: str, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(database_url, tmp_path)
    yield fleet
    fleet.stop()
