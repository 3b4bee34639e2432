"""A gunicorn that a test has started."""

import re
from typing import IO

import pytest


def listening_address(log: IO[str]) -> str:
    lines: list[str] = []
    for line in iter(log.readline, ""):
        lines.append(line)
        if found := re.search(r"Listening at: (http://[^ ]+)", line):
            return found[1]
    pytest.fail(f"gunicorn ended: {''.join(lines)}")
