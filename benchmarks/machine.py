"""What the figures were measured on. Nothing in here says where on the machine anything lies."""

import os
import platform
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bayesian_jobs import __version__
from benchmarks import by_hand
from benchmarks.harness import Database, Server, cpu_seconds, database, fetch

COMMITS = 200
SETTINGS = """
SELECT current_setting('server_version'), current_setting('shared_buffers'),
       current_setting('fsync') || '/' || current_setting('synchronous_commit')
"""


def describe(server: Server, load: tuple[float, float, float]) -> dict[str, Any]:
    """`load`: the load averages at the start, from which a reader sees how quiet the machine was."""
    with database(server) as bench:
        version, buffers, durability = fetch(bench, SETTINGS)
        commit = commit_milliseconds(bench)
    return {
        "bayesian-jobs": f"{__version__} {revision()}".strip(),
        "cpu": cpu_model(),
        "cores": len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count(),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": f"{version} (shared_buffers {buffers}, fsync/synchronous_commit {durability})",
        "file system": file_system(server.directory),
        "one commit": f"{commit:.2f} ms",
        "load average at start": " ".join(f"{each:.2f}" for each in load),
    }


def commit_milliseconds(bench: Database) -> float:
    """The median of small durable transactions: what everything that commits one by one is bound by."""
    fetch(bench, "CREATE TABLE commits (n int)")
    with by_hand.cursor(bench) as cursor:
        took = []
        for number in range(COMMITS):
            began = time.perf_counter()
            cursor.execute("INSERT INTO commits VALUES (%s)", (number,))
            took.append(time.perf_counter() - began)
    return median(took) * 1000


class OtherWork:
    """How much of the machine's processor time goes to anything but this measurement, from now on: what disturbs it.

    The kernel's own work is among it.
    """

    def __init__(self, server: Server) -> None:
        self._ours = (psutil.Process(), server.postmaster())
        self._before = self._busy_and_elapsed()
        self._cores = psutil.cpu_count() or 1

    def share(self) -> str:
        (busy, now), (busy_before, before) = self._busy_and_elapsed(), self._before
        return f"{max(0.0, busy - busy_before) / (now - before) / self._cores:.0%} of the processors"

    def _busy_and_elapsed(self) -> tuple[float, float]:
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        ours = sum(cpu_seconds(process) for process in self._ours)
        return sum(times) - getattr(times, "guest", 0.0) - idle - ours, time.monotonic()


def revision() -> str:
    """The commit that is measured, if this is a checkout, and whether the code has been changed since."""
    try:
        found = git("rev-parse", "--short", "HEAD")
        changed = git("status", "--porcelain", "--", "bayesian_jobs", "alembic")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"at {found}, changed since" if changed else f"at {found}"


def git(*arguments: str) -> str:
    root = Path(__file__).parent.parent
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def file_system(directory: Path) -> str:
    """The type of the file system that the database lies on: in memory (tmpfs), durable commits cost nothing."""
    mounts = [each for each in psutil.disk_partitions(all=True) if directory.resolve().is_relative_to(each.mountpoint)]
    return max(mounts, key=lambda each: len(each.mountpoint)).fstype if mounts else "unknown"
