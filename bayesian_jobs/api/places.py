"""Where things are: the base path, and the `Location` of what an answer tells of."""

from urllib.parse import quote

import falcon

BASE = "/api/v1"
LOCATION = "Location"


def of_job(job_id: str) -> str:
    return f"{BASE}/jobs/{quote(job_id, safe='')}"


def of_run(run_id: str) -> str:
    return f"{BASE}/runs/{run_id}"


def show(resp: falcon.Response, place: str) -> None:
    """Tell where to find what was made or accepted."""
    resp.set_header(LOCATION, place)
