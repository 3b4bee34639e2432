"""The database's clock decides: a replica whose own clock is wrong changes nothing, because it never looks at it."""

import ast
from pathlib import Path

import bayesian_jobs

PACKAGE = Path(bayesian_jobs.__file__).parent
ASKING = {"now", "utcnow", "today", "time", "time_ns", "localtime", "gmtime"}
OF = {"datetime", "date", "time"}
MAY = {
    "up/prepare.py": "checks files without a database: a date without a year is read as of today",
}


def clocks_asked(source: str) -> list[str]:
    """The calls in a source that read the host's clock of the day (a monotonic clock only measures waits)."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ASKING
        and ast.unparse(node.func.value).split(".")[-1] in OF
    ]


def test_no_part_of_the_service_asks_the_clock_of_its_host() -> None:
    asking = {
        path.relative_to(PACKAGE).as_posix(): asked
        for path in sorted(PACKAGE.rglob("*.py"))
        if (asked := clocks_asked(path.read_text("utf-8")))
    }
    assert asking.keys() <= MAY.keys(), asking


def test_a_look_at_the_clock_is_seen() -> None:
    source = "a = datetime.now(UTC)\nb = time.time()\nc = time.monotonic()"
    assert clocks_asked(source) == ["datetime.now(UTC)", "time.time()"]
