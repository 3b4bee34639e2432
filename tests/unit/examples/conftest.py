"""The example is a file, not a package: it is loaded by its path, onto a broker that lives in memory."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import dramatiq
import dramatiq.broker
import pytest
from dramatiq.brokers.stub import StubBroker

EXAMPLE = Path(__file__).parents[3] / "examples" / "core_worker.py"


@pytest.fixture(scope="session")
def core_worker() -> Iterator[ModuleType]:
    before = dramatiq.broker.global_broker
    dramatiq.set_broker(StubBroker())
    specification = importlib.util.spec_from_file_location("core_worker", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    yield module
    dramatiq.broker.global_broker = before


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CORE_RESULTS_DIR", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.fixture
def no_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Client":
    """Stands in for npm and pip: a program of this name that does what the test says."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return Client(tmp_path / "bin")


class Client:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()

    def behaves(self, name: str, script: str) -> None:
        program = self.directory / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
