"""A new version takes the place of the old one, process by process and under load; and the old one its place again."""

import json
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from ports import free_port

from bayesian_jobs.store.migrations import newest_revision

pytestmark = pytest.mark.timeout(300)

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MIGRATION = f"""
from alembic import op
import sqlalchemy as sa

revision = "next"
down_revision = "{newest_revision()}"


def upgrade():
    for table in ("jobs", "runs", "processes", "service"):
        op.add_column(table, sa.Column("since_next", sa.Text, server_default="of the next version"))
"""
HANDLERS = """
from marking import Mark


class MarkAnew(Mark):
    "Only the next version knows it."
"""


class Rollout:
    """Old and new processes in one fleet."""

    def __init__(self, fleet, place: Path) -> None:
        self.fleet = fleet
        for part in ("bayesian_jobs", "alembic"):
            shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "gunicorn.conf.py", place)
        (place / "alembic" / "versions" / "next.py").write_text(MIGRATION)
        (place / "next_marking.py").write_text(HANDLERS)
        old = fleet.settings | {"PYTHONSAFEPATH": "1"}
        new = old | {"PYTHONPATH": f"{place}:{HERE}", "JOBS_HANDLERS": "marking,next_marking"}
        self._settings = {"old": old, "new": new}

    def start(self, version: str, *arguments: str) -> subprocess.Popen[bytes]:
        self.fleet.settings = self._settings[version]
        return self.fleet.start_ready(*arguments)

    def migrate(self, version: str) -> int:
        self.fleet.settings = self._settings[version]
        return self.fleet.start("migrate").wait(60)

    def start_api(self, version: str) -> str:
        port = free_port()
        self.fleet.settings = self._settings[version] | {"JOBS_PORT": str(port)}
        self.fleet.start("api")
        return f"http://127.0.0.1:{port}/api/v1/readiness"

    def replace(self, one: subprocess.Popen[bytes], version: str, kind: str) -> subprocess.Popen[bytes]:
        other = self.start(version, kind)
        self.work_goes_on()
        self.stop(one)
        return other

    def stop(self, one: subprocess.Popen[bytes]) -> None:
        self.fleet.kill(one, signal.SIGTERM)
        assert one.wait(60) == 0
        self.work_goes_on()

    def work_goes_on(self) -> None:
        before = self.fleet.states().get("succeeded", 0)
        self.fleet.wait_until(lambda: self.fleet.states().get("succeeded", 0) > before + 50, "the work goes on")


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            ready: bool = json.load(answer)["ready"]
            return ready
    except urllib.error.URLError:
        return False


def test_two_versions_work_side_by_side_while_one_takes_the_place_of_the_other_and_back(fleet, tmp_path):
    (place := tmp_path / "next").mkdir()
    rollout = Rollout(fleet, place)
    scheduler, worker = rollout.start("old", "scheduler"), rollout.start("old", "worker")
    old_api = rollout.start_api("old")
    fleet.wait_until(lambda: is_ready(old_api), "the old API is ready")
    fleet.add(50, period="1 second", kwargs='{"seconds": 0.05}')
    rollout.work_goes_on()

    assert rollout.migrate("new") == 0
    assert {row.since_next for row in fleet.sql("SELECT since_next FROM jobs")} == {"of the next version"}
    rollout.work_goes_on()
    assert is_ready(old_api), "its schema is newer than it, and serves it"
    new_worker = rollout.start("new", "worker")
    fleet.add(20, "MarkAnew")
    anew = "SELECT FROM runs WHERE actor = 'MarkAnew' AND state = 'succeeded'"
    fleet.wait_until(lambda: len(fleet.sql(anew)) == 20, "the new worker does what the old one does not know", 60)
    rollout.stop(worker)
    new_scheduler = rollout.replace(scheduler, "new", "scheduler")
    new_api = rollout.start_api("new")
    fleet.wait_until(lambda: is_ready(new_api), "the new API is ready")

    assert rollout.migrate("old") == 0
    rollout.replace(new_scheduler, "old", "scheduler")
    rollout.replace(new_worker, "old", "worker")
    assert is_ready(old_api)

    fleet.sql("UPDATE jobs SET state = 'paused'")
    fleet.wait_until(lambda: not {"queued", "running"} & set(fleet.states()), "all runs have ended")
    fleet.check_each_fire_time_once()
    fleet.check_each_effect_once()
    assert set(fleet.states()) <= {"succeeded", "skipped", "cancelled"}
    assert fleet.sql("SELECT FROM runs WHERE recoveries > 0") == [], "who was told to stop left nothing to others"
