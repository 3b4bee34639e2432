"""`/metrics` over HTTP: who may ask, how often it is measured, and that Prometheus' own tools take it."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from api_steps import add_job, assert_problem, client_on
from falcon import testing
from sqlalchemy import Engine, event

from bayesian_jobs.api.fresh import FRESH_SECONDS
from bayesian_jobs.api.metrics import Metrics
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle import tokens

ROOT = Path(__file__).parents[2]
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="there is no program promtool here (Debian: prometheus)")


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/metrics"])
def test_metrics_are_text_of_prometheus(client: testing.TestClient, path: str) -> None:
    answer = client.simulate_get(path)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'bayesian_jobs_processes{kind="worker"} 0.0\n' in answer.text


def test_with_tokens_it_needs_one_to_read(engine: Engine, registry: Registry) -> None:
    client = client_on(engine, registry, auth="tokens")
    _, token = tokens.create(engine, {"name": "prometheus", "scope": "read"})

    for path in ("/metrics", "/api/v1/metrics"):
        assert_problem(client.simulate_get(path), 401)
        assert client.simulate_get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_without_a_database_there_is_no_answer_and_none_is_remembered(offline: testing.TestClient) -> None:
    for _ in range(2):
        assert_problem(offline.simulate_get("/metrics"), 503)


def test_it_is_measured_once_in_some_seconds_however_often_it_is_asked(engine: Engine) -> None:
    asked: list[Any] = []
    event.listen(engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    now = [0.0]
    metrics = Metrics(engine, clock=lambda: now[0])

    first = metrics._text.get()
    once = len(asked)
    assert once < 40
    now[0] = FRESH_SECONDS - 0.1
    assert metrics._text.get() == first
    assert len(asked) == once

    now[0] = FRESH_SECONDS
    assert metrics._text.get() != first, "the moment of the measurement is another one"
    assert len(asked) == 2 * once


@needs_promtool
def test_promtool_has_nothing_to_say_against_it(client: testing.TestClient) -> None:
    add_job(client, "a")
    text = client.simulate_get("/metrics").text
    checked = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@needs_promtool
def test_promtool_takes_the_examples(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/prometheus", tmp_path / "there")
    (tmp_path / "there/bayesian-jobs.token").touch()
    command = [str(PROMTOOL), "check", "config", str(tmp_path / "there/prometheus.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "6 rules found" in checked.stdout


def test_the_alerts_speak_of_metrics_that_there_are(client: testing.TestClient) -> None:
    rules = (ROOT / "examples/prometheus/alerts.yml").read_text("utf-8")
    told = client.simulate_get("/metrics").text
    assert set(words(rules)) <= set(words(told))
    assert all(f'{{check="{name}"}}' in told for name in checks(rules))


def words(text: str) -> list[str]:
    return re.findall(r"\bbayesian_jobs_\w+", text)


def checks(text: str) -> list[str]:
    return text.split('check=~"')[1].split('"')[0].split("|")
