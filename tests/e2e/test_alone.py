"""The processes of `up`, each on its own, without a configured database: they share the embedded one."""

import signal
import sys

import pytest

IMPORTED_FOR_EVER = """
import time
print("importing", flush=True)
while True:
    time.sleep(0.1)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


def test_processes_on_their_own_share_the_embedded_database_and_the_last_one_stops_it(up):
    processes = [up.start(verb) for verb in ("api", "scheduler", "worker")]
    up.wait_until(lambda: up.get("/readiness"), "ready")
    server = up.postgres()
    assert server is not None
    for process in processes:
        assert up.postgres() == server
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, up.log
    assert up.processes() == {}


def test_the_api_on_its_own_becomes_gunicorn_when_a_database_is_configured(up, database_url):
    process = up.start("api", DATABASE_URL=database_url)
    up.wait_until(lambda: up.get("/liveness"), "the API answers")
    assert "gunicorn" in up.processes()[process.pid]
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0, up.log
    assert up.processes() == {}


@pytest.mark.parametrize("verb", ["scheduler", "worker"])
def test_a_process_on_its_own_drains_at_sigterm(up, database_url, verb):
    process = up.start(verb, DATABASE_URL=database_url)
    up.wait_until(lambda: up.log or process.poll() is not None, "it writes its first line")
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0, up.log


@pytest.mark.parametrize("verb", ["api", "scheduler", "defaults register"])
def test_sigterm_before_a_process_is_ready_leaves_no_embedded_database(up, verb):
    (up.place / "slow_import.py").write_text(IMPORTED_FOR_EVER)
    process = up.start(verb, JOBS_HANDLERS="slow_import", PYTHONPATH=str(up.place))
    up.wait_until(lambda: "importing" in up.log, "its start-up has come to the handlers")
    assert up.postgres() is not None
    process.send_signal(signal.SIGTERM)
    code = process.wait(30)
    assert verb == "api" or code == 143, up.log
    assert up.processes() == {}


def test_sigterm_to_a_migration_leaves_no_embedded_database(up):
    process = up.start("migrate")
    up.wait_until(up.postgres, "the server was started")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143, up.log
    assert up.processes() == {}
