"""Schemathesis over the API as gunicorn serves it, by its OpenAPI document: examples, coverage, fuzzing, links."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from api_steps import add_run
from serving import listening_address
from sqlalchemy import Engine, text

from bayesian_jobs.lifecycle import tokens
from bayesian_jobs.store import processes

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
JOBS = """
INSERT INTO jobs (job_id, handler, state, period, starts_at, next_run_at)
SELECT 'job ' || number, 'PruneHistory', 'running', '1 day', '2100-01-01', '2100-01-01'
FROM generate_series(1, 20) AS number
"""
FLOW = "00000000-0000-4000-8000-000000000000"  # as in schemathesis_hooks.py
PHASES = ("examples", "coverage", "fuzzing", "stateful")


@pytest.fixture
def token(engine: Engine) -> str:
    """With authentication on, so that what it ignores is seen; all else is the same without."""
    return tokens.create(engine, {"name": "Schemathesis", "scope": "admin"})[1]


@pytest.fixture
def address(database_url: str, engine: Engine) -> Iterator[str]:
    """Where a real API listens that believes a scheduler and a worker to be alive, so that it is ready, and that has
    runs which can be tried again and are tasks of a flow."""
    with engine.begin() as connection:
        for kind in ("scheduler", "worker"):
            processes.register(connection, kind, timedelta(hours=1))
        connection.execute(text(JOBS))
        for number in range(1, 21):
            add_run(connection, f"job {number}", "2026-11-23T10:00:00Z", "failed", flow_id=FLOW, task=f"task {number}")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": database_url,
        "JOBS_AUTH": "tokens",
    }
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            yield listening_address(server.stderr)
        finally:
            server.terminate()
            log = server.communicate(timeout=30)[1]
    assert "Traceback" not in log


@pytest.mark.timeout(300)
def test_the_api_does_what_its_document_says(address: str, token: str, tmp_path: Path) -> None:
    """schemathesis.toml has the exemptions, each with its reason; schemathesis_hooks.py what is checked instead."""
    tested = schemathesis("run", f"{address}/api/v1/openapi.json", "--no-color", *bearing(token), cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout + tested.stderr

    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    operations, cases = report["operations"], report["test_cases"]
    done = f"{operations['tested']} operations, {cases['generated']} requests, {cases['with_failures']} failures"
    sys.stdout.write(f"{done} in {report['running_time']:.0f} s\n")
    assert operations["tested"] == operations["total"] > 0
    assert {name: phase["status"] for name, phase in report["phases"].items()} == dict.fromkeys(PHASES, "success")


def bearing(token: str) -> tuple[str, str]:
    return "--header", f"Authorization: Bearer {token}"


def schemathesis(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("st")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT)])}
    return subprocess.run(
        [program, "--config-file", HERE / "schemathesis.toml", *arguments, "--report-json-path=report.json"],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
