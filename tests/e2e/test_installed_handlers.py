"""A handler in a package of its users, installed: the class is all that it needs."""

import json
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

HANDLER = '''
from datetime import timedelta

from bayesian_jobs.handlers.base import BaseHandler


class CheckMirror(BaseHandler):
    """Look whether a mirror is up to date.

    Args:
        mirror: Its name.
        age: How old it may be.
    """

    example = {"mirror": "pypi", "age": "1 day"}

    def execute(self, mirror: str, age: timedelta = timedelta(days=7)) -> None:
        self.log.info("%s may be %s old", mirror, age)
'''
METADATA = "Metadata-Version: 2.1\nName: their-jobs\nVersion: 1.0\n"
ENTRY_POINTS = "[bayesian_jobs.handlers]\ntheirs = their_jobs.handlers\n"
WEEKLY = "job_id: mirror-weekly\nhandler: CheckMirror\nkwargs: {mirror: npm}\nperiodically: 1 week\n"


@pytest.fixture
def installed(up) -> Any:
    """The service where `their-jobs` is installed as pip leaves it, with a default job of its handler."""
    site = up.place / "site"
    package, info = site / "their_jobs", site / "their_jobs-1.0.dist-info"
    for directory in (package, info, up.place / "default_jobs"):
        directory.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "handlers.py").write_text(HANDLER)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (up.place / "default_jobs/mirror.yaml").write_text(WEEKLY)
    up.settings |= {"PYTHONPATH": str(site), "JOBS_DEFAULT_JOBS_DIR": str(up.place / "default_jobs")}
    up.start_and_wait()
    return up


def post(url: str, body: Any) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def test_the_class_is_all_that_a_handler_of_an_installed_package_needs(installed):
    endpoint = f"{installed.base}/jobs/check-mirror"

    status, answer = post(f"{endpoint}?job_id=mine", {"mirror": "pypi", "age": "2 days"})
    assert (status, answer["job"]["handler"]) == (201, "CheckMirror")
    status, refused = post(endpoint, {"miror": "pypi"})
    assert (status, [fault["option"] for fault in refused["errors"]]) == (400, ["kwargs.mirror", "kwargs.miror"])

    operation = installed.get("/openapi.json")["paths"]["/jobs/check-mirror"]["post"]
    assert operation["summary"] == "Look whether a mirror is up to date."
    body = operation["requestBody"]["content"]["application/json"]
    assert {"mirror": "pypi", "age": "1 day"} in (body.get("example"), body["schema"].get("example"))
    (told,) = [each for each in installed.get("/handlers")["handlers"] if each["name"] == "CheckMirror"]
    assert told["arguments"]["properties"]["mirror"]["description"] == "Its name."

    lines = {"mine": "pypi may be 2 days, 0:00:00 old", "mirror-weekly": "npm may be 7 days, 0:00:00 old"}
    for job_id, line in lines.items():
        path = f"/jobs/{job_id}/runs?state=succeeded"
        (run,) = installed.wait_until(lambda path=path: (installed.get(path) or {"runs": []})["runs"], f"{job_id} ran")
        installed.wait_until(lambda run=run, line=line: f"run={run['run_id']} {line}" in installed.log, line)
