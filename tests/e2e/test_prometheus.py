"""A real Prometheus scrapes the API by the configuration of the examples, with a token, and judges the alerts."""

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from serving import listening_address
from sqlalchemy import create_engine
from waiting import wait_for

from bayesian_jobs.lifecycle import tokens

ROOT = Path(__file__).parents[2]
PROMETHEUS = shutil.which("prometheus")

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="there is no program prometheus here (Debian: prometheus)")


@pytest.fixture
def target(database_url: str) -> Iterator[str]:
    """HOST:PORT of an API that asks for tokens."""
    environment = {**os.environ, "DATABASE_URL": database_url, "JOBS_AUTH": "tokens"}
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            yield listening_address(server.stderr).removeprefix("http://")
        finally:
            server.terminate()
            server.communicate(timeout=30)


@pytest.fixture
def prometheus(database_url: str, target: str, tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus that has nothing but the examples, a token and less patience."""
    engine = create_engine(database_url)
    (tmp_path / "bayesian-jobs.token").write_text(tokens.create(engine, {"name": "prometheus", "scope": "read"})[1])
    engine.dispose()
    shutil.copy(ROOT / "examples/prometheus/alerts.yml", tmp_path)
    configured = (ROOT / "examples/prometheus/prometheus.yml").read_text("utf-8")
    hasty = configured.replace("15s", "1s\n  evaluation_interval: 1s").replace("localhost:34000", target)
    (tmp_path / "prometheus.yml").write_text(hasty)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        str(PROMETHEUS), f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stderr=log, stdout=log) as process:
        try:
            yield f"http://{address}/api/v1"
        finally:
            process.terminate()


def ask(url: str, **query: str) -> Any:
    """None while it does not answer."""
    try:
        with urllib.request.urlopen(f"{url}?{urlencode(query)}", timeout=5) as answer:
            return json.load(answer)["data"]
    except OSError:
        return None


def test_prometheus_reads_the_metrics_and_judges_the_alerts(prometheus: str) -> None:
    def values(query: str) -> dict[str, str]:
        found = ask(f"{prometheus}/query", query=query)
        return {each["metric"].get("kind", ""): each["value"][1] for each in found["result"]} if found else {}

    wait_for(lambda: values("bayesian_jobs_processes") == {"scheduler": "0", "worker": "0"}, "what is measured")
    assert values("up") == {"": "1"}

    def alerts() -> list[str]:
        found = ask(f"{prometheus}/alerts")
        return sorted({each["labels"]["alertname"] for each in found["alerts"]}) if found else []

    wait_for(lambda: alerts() == ["BayesianJobsWithoutProcess"], "the alert")
