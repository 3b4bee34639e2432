"""What a process makes of its environment, and what it never shows of it."""

import os
from pathlib import Path

import pytest

from bayesian_jobs.errors import SettingsError
from bayesian_jobs.lifecycle.flows_file import read_flows
from bayesian_jobs.settings import load
from bayesian_jobs.urls import without_password

SECRET = "s3cret"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://jobs:s3cret@db/jobs",
        "postgresql://db/jobs?user=jobs&password=s3cret",
        "postgresql://db/jobs?pass%77ord=s3cret",
        "postgresql://db/jobs?password=s3cret&password=s3cret",
        "postgresql://jobs@db/jobs?sslpassword=s3cret",
        "postgresql://jobs@db/jobs?passfile=/home/s3cret",
        "postgresql://jobs:s3cret@db:port/jobs",
        "postgresql://jobs:s3cret@[::1/jobs",
        "postgresql://jobs:pa@s3cret@db/jobs",
    ],
)
def test_a_password_is_not_shown_wherever_it_stands(url):
    shown = without_password(url)
    assert SECRET not in shown
    assert "***" in shown


def test_what_is_no_password_is_shown():
    url = "postgresql://jobs:s3cret@db:5433/jobs?sslmode=require&password=s3cret"
    assert without_password(url) == "postgresql://jobs:***@db:5433/jobs?password=***&sslmode=require"
    assert without_password("/a/path") == "/a/path"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://jobs:s3cret@db:port/jobs", "is not a URL like postgresql://"),
        ("postgresql://jobs:s3cret@[::1/jobs", "is not a URL like postgresql://"),
        ("postgresql://jobs:pa@s3cret@db/jobs", "an @ in a password is written %40"),
        ("host=db password=s3cret", "is not a URL like postgresql://"),
        ("mysql://jobs:s3cret@db/jobs", "the scheme must be postgresql://"),
        ("postgresql://jobs:s3cret@db/jobs?bogus=1", 'invalid connection option "bogus"'),
    ],
)
def test_a_database_url_that_cannot_be_used_is_refused_without_its_password(url, reason):
    with pytest.raises(SettingsError, match=r"^DATABASE_URL=") as refused:
        load({"DATABASE_URL": url})
    assert reason in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://jobs:p%40ss@db:5433/jobs?sslmode=require&target_session_attrs=read-write",
        "postgresql:///jobs?host=/run/postgresql",
        "postgresql://jobs@/jobs?host=one:5432&host=two:5432",
        "postgres://[::1]/jobs",
    ],
)
def test_a_database_url_that_libpq_takes_is_taken(url):
    taken = load({"DATABASE_URL": url}).database_url
    assert taken is not None
    assert taken.startswith("postgresql+psycopg2://")


@pytest.mark.parametrize("url", ["redis://:s3cret@db:6379/1", "rediss://db", "amqp://me:s3cret@db/name", "amqps://db"])
def test_redis_and_rabbitmq_are_brokers(url):
    assert load({"BROKER_URL": url}).broker_url == url


def test_without_a_broker_url_messages_travel_in_postgresql():
    assert load({"BROKER_URL": ""}) == load({})


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("memcached://:s3cret@db", r"the scheme must be redis://, rediss://, amqp:// or amqps:// \(unset: messages"),
        ("postgresql://:s3cret@db", "the scheme must be"),
        ("redis", "is not a URL like redis://"),
        ("amqp://me:s3cret@s3cret@db", "is not a URL like redis://"),
    ],
)
def test_a_broker_url_that_cannot_be_used_is_refused_without_its_password(url, reason):
    with pytest.raises(SettingsError, match=f"^BROKER_URL='.*': {reason}") as refused:
        load({"BROKER_URL": url})
    assert "s3cret" not in str(refused.value)


def test_default_jobs_that_are_asked_for_must_be_in_a_directory(tmp_path):
    assert load({"JOBS_DEFAULT_JOBS_DIR": str(tmp_path)}).default_jobs_dir == tmp_path
    (file := tmp_path / "file").touch()
    for path in (file, file / "below", tmp_path / "missing"):
        with pytest.raises(SettingsError, match=r"^JOBS_DEFAULT_JOBS_DIR='.*': is not a directory$"):
            load({"JOBS_DEFAULT_JOBS_DIR": os.fspath(path)})


def test_a_tilde_is_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "jobs").mkdir()
    settings = load({"JOBS_DATA_DIR": "~/x", "JOBS_FLOWS": "~/flows.yaml", "JOBS_DEFAULT_JOBS_DIR": "~/jobs"})
    found = (settings.data_dir, settings.flows_file, settings.default_jobs_dir)
    assert found == (tmp_path / "x", tmp_path / "flows.yaml", tmp_path / "jobs")
    with pytest.raises(SettingsError, match="no such user"):
        load({"JOBS_DATA_DIR": "~no-such-user/x"})


def test_flows_in_another_encoding_are_refused_in_one_sentence(tmp_path: Path):
    (file := tmp_path / "flows.yaml").write_bytes("flüsse: {queue: a}".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"^JOBS_FLOWS='.*': line 1: is not text in UTF-8"):
        read_flows(file)
