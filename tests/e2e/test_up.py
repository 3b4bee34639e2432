"""`up` as a newcomer uses it: the contract's request, the default jobs, a process that dies."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

CONTRACT_REQUEST = """\
curl -X POST --header 'Content-Type: application/json' --header 'Accept: application/json' -d '{
   "flow_arguments": [
     { "ecosystem": "npm", "force": true, "name": "serve-static", "version": "1.7.1" },
     { "ecosystem": "maven", "force": true, "name": "net.iharder:base64", "version": "2.3.9" }
   ],
   "flow_name": "bayesianFlow"
 }' 'http://localhost:34000/api/v1/jobs/flow-scheduling?state=running'
"""


def send_contract_request(port: int) -> Any:
    """The request as it stands in the contract, but for the port; by curl itself where there is one."""
    request = CONTRACT_REQUEST.replace("34000", str(port))
    if shutil.which("curl"):
        answer = subprocess.run(["sh", "-c", request], capture_output=True, check=True).stdout
        return json.loads(answer)
    body, url = request.split("'")[5], request.split("'")[7]
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=30) as answer:
        return json.load(answer)


def test_the_contracts_request_is_scheduled_executed_and_recorded(service):
    job = send_contract_request(service.port)["job"]
    assert (job["handler"], job["state"]) == ("FlowScheduling", "running")

    def ended() -> Any:
        runs = (service.get(f"/jobs/{job['job_id']}/runs") or {"runs": []})["runs"]
        return runs if runs and runs[0]["state"] in ("succeeded", "failed", "missed") else None

    (run,) = service.wait_until(ended, "the run of the flow job ended")
    assert (run["state"], run["attempt"]) == ("succeeded", 1), run
    assert service.get(f"/jobs/{job['job_id']}")["state"] == "finished"


def test_the_flow_is_executed_by_the_core_worker_once_for_each_package(service):
    results = Path(service.settings["CORE_RESULTS_DIR"])
    job_id = send_contract_request(service.port)["job"]["job_id"]

    def kept() -> bool:
        lines = [line for line in service.log.splitlines() if f"(job {job_id})" in line]
        purls = {json.loads(file.read_text())["purl"] for file in results.rglob("*.json")}
        return len(lines) == 2 and purls == {"pkg:npm/serve-static@1.7.1", "pkg:maven/net.iharder/base64@2.3.9"}

    service.wait_until(kept, "a result for each package")


def test_the_default_jobs_are_registered(service):
    files = {file.stem for file in (ROOT / "default_jobs").glob("*.yaml")}
    jobs = service.get("/jobs?job_type=user&state=running")["jobs"]
    assert len([job for job in jobs if job["periodically"]]) >= len(files) > 0


def test_the_banner_tells_where_everything_is(service):
    for line in (
        f" Dashboard     http://127.0.0.1:{service.port}/\n",
        f" API           http://127.0.0.1:{service.port}/api/v1\n",
        f" Swagger UI    http://127.0.0.1:{service.port}/api/v1/ui/\n",
        f" Database      embedded PostgreSQL, its data in {service.place}/data\n",
        " Default jobs  added ",
        " Ctrl-C stops everything\n",
    ):
        assert line in service.log
    assert "\x1b[" not in service.log


def test_the_command_that_the_banner_tells_finds_the_database_from_anywhere(service, tmp_path):
    (told,) = re.findall(r"^ Command line  (.*)$", service.log, re.MULTILINE)
    environment = {"PATH": os.environ["PATH"]}
    listed = subprocess.run(["sh", "-c", told], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "prune-history" in listed.stdout, listed.stderr


@pytest.mark.parametrize("name", ["api", "scheduler", "worker", "actors"])
def test_a_process_that_is_killed_is_started_again_and_works(service, name):
    before = service.child(name)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    service.wait_until(lambda: service.child(name) != before, f"{name} was started again")
    service.wait_until(lambda: service.get("/readiness"), "ready again")
    job = send_contract_request(service.port)["job"]

    def succeeded() -> bool:
        answer = service.get(f"/jobs/{job['job_id']}/runs")
        return bool(answer and answer["runs"] and answer["runs"][0]["state"] == "succeeded")

    service.wait_until(succeeded, "a run succeeded afterwards")
