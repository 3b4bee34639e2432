"""A scheduler registers the default jobs when it starts, and schedules meanwhile."""

import os
import signal
import subprocess
import sys

import pytest
from waiting import wait_for

from bayesian_jobs.lifecycle.defaults_at_start import registering
from bayesian_jobs.store import migrations
from bayesian_jobs.store.engine import make_engine

FILE = "job_id: nightly\nhandler: PruneHistory\nkwargs: {}\nperiodically: 1 day\n"


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "nightly.yaml").write_text(FILE)
    return tmp_path


@pytest.fixture
def start(service, directory):
    def start(engine=service.engine):
        return registering(engine, service.registry, directory)

    return start


def test_they_are_registered_and_what_is_wrong_is_logged(service, directory, start, caplog):
    (directory / "gone.yaml").write_text(FILE.replace("nightly", "gone"))
    with caplog.at_level("INFO"), start() as thread:
        thread.join(10)
    (directory / "gone.yaml").unlink()
    (directory / "bad.yaml").write_text("[")
    with caplog.at_level("INFO"), start() as thread:
        thread.join(10)
    assert caplog.messages == [
        "default job gone added",
        "default job nightly added",
        "default job not used: bad.yaml: line 1: while parsing a flow node, expected the node content,"
        " but found '<stream end>'",
        "default job gone: gone.yaml defines it no more",
    ]
    assert service.job("gone") is not None


def test_they_wait_for_the_database_and_its_schema(directory, start, empty_database_url, caplog, monkeypatch):
    monkeypatch.setattr("bayesian_jobs.lifecycle.defaults_at_start.POLL_EVERY", 0.05)
    engine = make_engine(empty_database_url, "test", pool_size=1)
    with start(engine) as thread:
        wait_for(lambda: caplog.messages != [], "a complaint")
        assert caplog.messages == [
            "trying again: the default jobs are not registered: the schema of the database is not current"
        ]
        migrations.upgrade(empty_database_url)
        thread.join(10)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT job_id FROM jobs").scalars().all() == ["nightly"]
    engine.dispose()


def test_a_process_that_stops_does_not_wait_for_them(start, caplog):
    engine = make_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none", "test", pool_size=1)
    with start(engine) as thread:
        wait_for(lambda: caplog.messages != [], "a complaint")
        assert "cannot be reached" in caplog.messages[0]
    thread.join(10)
    assert not thread.is_alive()


def test_schedulers_that_start_at_once_register_each_job_once(service, directory, database_url):
    environment = {**os.environ, "DATABASE_URL": database_url, "JOBS_DEFAULT_JOBS_DIR": str(directory)}
    command = [sys.executable, "-m", "bayesian_jobs", "scheduler"]
    started = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        wait_for(lambda: service.job("nightly") is not None, "the job")
        alive = "SELECT FROM processes WHERE kind = 'scheduler' AND ended_at IS NULL"
        wait_for(lambda: len(service.execute_sql(alive)) == 2, "both schedulers")
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        logs = [process.communicate(timeout=30)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert "".join(logs).count("default job nightly added") == 1
    assert service.job("nightly")["version"] == 1
