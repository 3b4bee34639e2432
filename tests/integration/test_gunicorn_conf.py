"""gunicorn.conf.py as gunicorn reads it. It gives up before any worker exists, so no database is needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOWHERE = "postgresql://127.0.0.1:1/none"
"""Or `--print-config`, which loads the application, would start an embedded server."""


def gunicorn(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py"), *options],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "JOBS_PORT": "1",
            "DATABASE_URL": NOWHERE,
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_the_command_line_cannot_bind_the_api_to_an_outer_address(address: str) -> None:
    answer = gunicorn("--bind", address)
    assert answer.returncode == 1
    assert "token create NAME --scope admin" in answer.stderr.splitlines()[-1]


def test_the_environment_cannot_bind_the_api_to_an_outer_address() -> None:
    answer = gunicorn(GUNICORN_CMD_ARGS="--bind 0.0.0.0:0 --reuse-port")
    assert answer.returncode == 1
    assert "JOBS_HOST='0.0.0.0'" in answer.stderr.splitlines()[-1]


def test_its_settings_come_from_the_services_variables() -> None:
    answer = gunicorn(
        "--print-config", JOBS_HOST="::1", JOBS_PORT="34567", JOBS_API_WORKERS="3", JOBS_LOG_LEVEL="warning"
    )
    settings = dict(line.split(" = ", 1) for line in answer.stdout.splitlines() if " = " in line)
    settings = {name.strip(): value.strip() for name, value in settings.items()}
    assert settings["bind"] == "['[::1]:34567']"
    assert settings["workers"] == "3"
    assert settings["threads"] == "8"
    assert settings["loglevel"] == "warning"
    assert settings["control_socket_disable"] == "True"
    assert settings["accesslog"] == "None"


def test_a_setting_that_cannot_be_used_is_named() -> None:
    answer = gunicorn("--check-config", JOBS_API_THREADS="many")
    assert answer.returncode != 0
    assert "JOBS_API_THREADS='many': must be a whole number from 1 to 100" in answer.stderr
