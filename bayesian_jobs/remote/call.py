"""One request to the REST API."""

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

BASE: Final = "/api/v1"
"""What the path of each request begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`path` is below the base path and already quoted. `once`: sent twice it would make two, but the API takes an
    Idempotency-Key for it."""

    method: str = "GET"
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    once: bool = False


def of_job(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


def of_run(run_id: str) -> str:
    return f"/runs/{quote(run_id, safe='')}"
