"""docker-compose.yml as docker-compose reads it. `config` resolves and checks; it needs no engine."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = shutil.which("docker-compose")
EVERYTHING = ("--profile", "redis", "--profile", "rabbitmq")
SERVICES = {"postgres", "migrate", "api", "scheduler", "worker", "core-worker"}

pytestmark = pytest.mark.skipif(
    COMPOSE is None, reason="there is no program docker-compose here (Debian: docker-compose)"
)


def compose(directory: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run docker-compose in an environment that holds these variables and nothing of this machine's .env."""
    nothing = directory / "empty.env"
    nothing.touch()
    return subprocess.run(
        [str(COMPOSE), "--file", str(ROOT / "docker-compose.yml"), "--env-file", str(nothing), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(directory), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def services(directory: Path, *options: str, **variables: str) -> dict[str, dict[str, Any]]:
    """Every service as it would be started, by name."""
    answer = compose(directory, *options, "config", POSTGRES_PASSWORD="secret", **variables)
    assert answer.returncode == 0, answer.stderr
    found = yaml.safe_load(answer.stdout)["services"]
    assert isinstance(found, dict)
    return found


def test_without_a_password_it_says_what_to_do(tmp_path: Path) -> None:
    answer = compose(tmp_path, "config")
    assert answer.returncode != 0
    assert "set it in .env, see .env.example" in answer.stderr


@pytest.mark.parametrize("options", [(), ("--profile", "redis"), ("--profile", "rabbitmq"), EVERYTHING])
def test_the_other_brokers_come_only_by_their_profiles(tmp_path: Path, options: tuple[str, ...]) -> None:
    profiles = {name: service.get("profiles", []) for name, service in services(tmp_path, *options).items()}
    asked_for = {option for option in options if not option.startswith("--")}
    # docker-compose 1 shows services of other profiles as well, 2 leaves them out
    assert profiles.keys() - {"redis", "rabbitmq"} == SERVICES
    assert asked_for <= profiles.keys()
    assert all(wanted in ([], [name]) and (name in SERVICES) == (wanted == []) for name, wanted in profiles.items())


def test_two_schedulers_and_two_workers_start_after_the_migration(tmp_path: Path) -> None:
    found = services(tmp_path)
    assert [found[name]["deploy"]["replicas"] for name in ("scheduler", "worker")] == [2, 2]
    for name in ("api", "scheduler", "worker", "core-worker"):
        assert found[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert found[name]["restart"] == "unless-stopped"
    assert found["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert found["migrate"]["restart"] == "no"


def test_nothing_is_reachable_from_outside_this_machine(tmp_path: Path) -> None:
    found = services(tmp_path, *EVERYTHING)
    ports = {name: [str(port) for port in service.get("ports", [])] for name, service in found.items()}
    assert {name: len(published) for name, published in ports.items() if published} == {"api": 1}
    assert "127.0.0.1" in ports["api"][0]
    assert not any("network_mode" in service for service in found.values())


def test_the_api_asks_for_tokens(tmp_path: Path) -> None:
    api = services(tmp_path)["api"]["environment"]
    assert (api["JOBS_AUTH"], api["JOBS_HOST"]) == ("tokens", "0.0.0.0")


def test_the_password_is_the_operators_and_in_no_url(tmp_path: Path) -> None:
    found = services(tmp_path, *EVERYTHING)
    assert found["postgres"]["environment"]["POSTGRES_PASSWORD"] == "secret"
    for name in SERVICES - {"postgres"}:
        assert found[name]["environment"]["PGPASSWORD"] == "secret"
        assert "secret" not in found[name]["environment"]["DATABASE_URL"]


def test_one_broker_url_reaches_every_process(tmp_path: Path) -> None:
    found = services(tmp_path, BROKER_URL="redis://:secret@redis:6379/0")
    assert {found[name]["environment"]["BROKER_URL"] for name in SERVICES - {"postgres"}} == {
        "redis://:secret@redis:6379/0"
    }


def test_the_port_can_be_moved(tmp_path: Path) -> None:
    assert "35000" in str(services(tmp_path, JOBS_PORT="35000")["api"]["ports"])


def test_every_service_has_limits_and_time_to_stop(tmp_path: Path) -> None:
    found = services(tmp_path, *EVERYTHING)
    for name in found.keys() - {"migrate"}:
        assert found[name]["deploy"]["resources"]["limits"]["memory"]
        assert found[name]["stop_grace_period"]


def test_the_services_own_processes_run_without_privileges(tmp_path: Path) -> None:
    found = services(tmp_path)
    for name in SERVICES - {"postgres"}:
        assert found[name]["read_only"] is True
        assert found[name]["cap_drop"] == ["ALL"]
        assert found[name]["security_opt"] == ["no-new-privileges:true"]
