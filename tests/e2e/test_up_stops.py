"""How `up` ends: by Ctrl-C, by signals at bad moments, by SIGKILL, or because it cannot start at all."""

import os
import signal
import socket
import sys

import pytest
from ports import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

STOPPED_WITHIN = 15

SLOW_HANDLER = """
import time
from bayesian_jobs.handlers.base import BaseHandler

class SlowWork(BaseHandler):
    '''Works for minutes.'''

    def execute(self) -> None:
        for _ in range(3000):
            time.sleep(0.1)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_ends_every_process_and_the_database(up, number):
    process = up.start_and_wait()
    assert len(up.processes()) >= 6, "supervisor, API and its worker, scheduler, worker, actors, PostgreSQL"
    process.send_signal(number)
    assert process.wait(STOPPED_WITHIN) == 0, up.log
    assert up.processes() == {}
    assert "killed" not in up.log


def test_a_request_to_stop_during_the_start_leaves_nothing(up):
    process = up.start()
    up.wait_until(lambda: "starting" in up.log, "up has begun")
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOPPED_WITHIN) == 0, up.log
    assert up.processes() == {}


def test_two_requests_to_stop_end_everything_at_once(up):
    process = up.start_and_wait()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert process.wait(STOPPED_WITHIN) == 0, up.log
    assert up.processes() == {}


def test_after_sigkill_the_children_end_and_the_next_start_adopts_the_database(up):
    process = up.start_and_wait()
    server = up.postgres()
    process.kill()
    process.wait()
    up.wait_until(lambda: set(up.processes()) <= {server}, f"the children ended: {up.processes()}", STOPPED_WITHIN)

    again = up.start_and_wait()
    assert up.postgres() == server
    again.send_signal(signal.SIGINT)
    assert again.wait(STOPPED_WITHIN) == 0, up.log
    assert up.processes() == {}


def test_the_embedded_database_is_started_again_when_it_is_killed(up):
    up.start_and_wait()
    server = up.postgres()
    assert server is not None
    os.kill(server, signal.SIGKILL)
    up.wait_until(lambda: up.postgres() not in (None, server), "another server")
    up.wait_until(lambda: up.get("/readiness"), "ready again")


def test_jobs_survive_a_restart_and_default_jobs_are_not_doubled(up):
    first = up.start_and_wait()
    jobs = up.get("/jobs")["jobs"]
    first.send_signal(signal.SIGINT)
    assert first.wait(STOPPED_WITHIN) == 0, up.log
    up.start_and_wait()
    assert [job["job_id"] for job in up.get("/jobs")["jobs"]] == [job["job_id"] for job in jobs] != []
    assert " Default jobs  unchanged " in up.log


def test_a_taken_port_is_said_in_one_sentence_and_nothing_is_started(up):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert up.start(JOBS_PORT=str(port)).wait(STOPPED_WITHIN) == 1
    assert up.log.splitlines() == [
        f"bayesian-jobs: Port {port} on 127.0.0.1 is already in use: stop the program that listens there"
        " (another `up`?) or choose another port with JOBS_PORT"
    ]
    assert up.processes() == {}


def test_an_unreachable_database_is_said_without_its_password(up):
    port = free_port()
    process = up.start(DATABASE_URL=f"postgresql://jobs:s3cret@127.0.0.1:{port}/jobs")
    assert process.wait(STOPPED_WITHIN) == 1
    last = up.log.splitlines()[-1]
    assert last.startswith(
        f"bayesian-jobs: The database postgresql+psycopg2://jobs:***@127.0.0.1:{port}/jobs cannot be reached"
    )
    assert "s3cret" not in up.log
    assert "Traceback" not in up.log


def test_a_public_address_is_refused(up):
    assert up.start(JOBS_HOST="0.0.0.0").wait(STOPPED_WITHIN) == 1
    (line,) = up.log.splitlines()
    assert line.startswith("bayesian-jobs: JOBS_HOST='0.0.0.0'")
    assert up.processes() == {}


def test_a_process_that_cannot_start_ends_up_and_is_named(up):
    assert up.start(JOBS_ACTORS="no_such_module").wait(60) == 1
    assert "The service was not started: the actors process ended during start-up" in up.log.splitlines()[-1]
    assert up.processes() == {}


def test_a_run_that_is_executing_at_the_stop_is_handed_back_and_taken_up_by_the_next_start(up):
    (up.place / "slow_handlers.py").write_text(SLOW_HANDLER)
    settings = {"JOBS_HANDLERS": "slow_handlers", "PYTHONPATH": str(up.place)}
    process = up.start_and_wait(**settings)
    job_id = up.post("/jobs/slow-work")["job"]["job_id"]

    def running(attempt):
        (run,) = up.get(f"/jobs/{job_id}/runs")["runs"] or [{}]
        return (run.get("state"), run.get("attempt")) == ("running", attempt)

    up.wait_until(lambda: running(1), "the run is executing")
    process.send_signal(signal.SIGINT)
    assert process.wait(STOPPED_WITHIN) == 0, up.log
    assert "so killed" not in up.log
    up.start_and_wait(**settings)
    up.wait_until(lambda: running(2), "the run is executing again")


def test_an_executing_run_has_as_long_to_end_as_jobs_drain_says(up):
    (up.place / "slow_handlers.py").write_text(SLOW_HANDLER.replace("3000", "120"))  # 12 s: `up` waits for 10
    settings = {"JOBS_HANDLERS": "slow_handlers", "PYTHONPATH": str(up.place)}
    process = up.start_and_wait(**settings, JOBS_DRAIN="40 seconds")
    job_id = up.post("/jobs/slow-work")["job"]["job_id"]
    up.wait_until(lambda: up.get("/runs?state=running")["runs"], "the run is executing")
    process.send_signal(signal.SIGINT)
    assert process.wait(45) == 0, up.log
    assert "so killed" not in up.log
    up.start_and_wait(**settings)
    (run,) = up.get(f"/jobs/{job_id}/runs")["runs"]
    assert (run["state"], run["attempt"]) == ("succeeded", 1)


@pytest.mark.parametrize(
    ("verb", "settings", "sentence"),
    [
        ("api", {"JOBS_API_WORKERS": "0"}, "JOBS_API_WORKERS='0': must be a whole number from 1 to 100"),
        ("migrate --to nope", {}, "bayesian-jobs: The schema cannot be brought to revision 'nope': Can't locate"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(up, verb, settings, sentence):
    assert up.start(verb, **settings).wait(30) == 1
    (line,) = up.log.splitlines()
    assert line.startswith(sentence)
    assert up.processes() == {}
