"""What the code cannot do because it never imports it; and that what it imports is what was locked."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "bayesian_jobs"
OUTWARD = {"aiohttp", "ftplib", "http.client", "httpx", "requests", "smtplib", "socket", "urllib.request", "urllib3"}
MAY_CONNECT = {
    "api/outbox.py": {"socket"},  # the clients of the API
    "api/patience.py": {"socket"},
    "manage/carry_out.py": {"socket"},  # the name of this machine
    "remote/http.py": {"http.client", "urllib.request"},  # the command line and other programs, to the API they name
    "store/processes.py": {"socket"},  # the name of this machine
    "up/readiness.py": {"http.client", "socket"},  # `up`, to its own API
    "up/signals.py": {"socket"},  # a pair of this process's own
    "up/supervisor.py": {"socket"},
}
RUNS_DATA = {"marshal", "pickle", "shelve", "dill", "cloudpickle", "jsonpickle"}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported() -> dict[str, set[str]]:
    return {str(path.relative_to(PACKAGE)): set(imports(path)) for path in PACKAGE.rglob("*.py")}


def test_no_request_can_make_the_service_connect_anywhere() -> None:
    found = {name: names & OUTWARD for name, names in imported().items()}
    assert {name: names for name, names in found.items() if names} == MAY_CONNECT


def test_nothing_is_read_that_could_be_code() -> None:
    assert [name for name, names in imported().items() if names & RUNS_DATA] == []
    calls = [
        f"{path.name}: {node.func.id}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")
    ]
    assert calls == []


def test_every_package_of_the_lock_is_pinned_by_hash_and_from_no_address() -> None:
    lock = re.sub(r"\\\n\s*", " ", (ROOT / "requirements.lock").read_text("utf-8"))
    lines = [line for line in lock.splitlines() if line and not line.startswith("#")]
    assert len(lines) > 50
    assert [line for line in lines if not re.match(r"[\w.\[\],-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []
    assert "://" not in lock
