"""./dev pictures: let the product work for a while, and take pictures of its dashboard."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright
from ports import free_port

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
JOBS: tuple[Mapping[str, Any], ...] = (
    {"job_id": "stock-berlin", "handler": "SyncStock", "kwargs": {"warehouse": "Berlin"}, "periodically": "10 seconds"},
    {"job_id": "stock-lyon", "handler": "SyncStock", "kwargs": {"warehouse": "Lyon"}, "periodically": "15 seconds"},
    {"job_id": "receipts", "handler": "MailReceipts", "kwargs": {}, "periodically": "25 seconds"},
    {
        "job_id": "sales-of-the-day",
        "handler": "ReportSales",
        "kwargs": {"currency": "EUR", "by": ["country", "shop"]},
        "periodically": "0 6 * * 1-5",
        "timezone": "Europe/Berlin",
        "description": "For the morning meeting",
    },
    {"job_id": "sales-live", "handler": "ReportSales", "kwargs": {}, "periodically": "1 minute"},
)
SCREENS = {
    "dashboard-overview.png": "#/overview",
    "dashboard-jobs.png": "#/jobs",
    "dashboard-job.png": "#/jobs/receipts",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev pictures", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="for which it works before (default: 60)")
    minutes = parser.parse_args().minutes
    with service() as base:
        for job in JOBS:
            ask(base, "POST", "/jobs", {**job, "tags": ["shop"]})
        time.sleep(minutes * 60)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1200, "height": 760}, color_scheme="light")
            for name, screen in SCREENS.items():
                take(page, f"{base}/{screen}", IMAGES / name)
            browser.close()


@contextmanager
def service() -> Iterator[str]:
    """`bayesian-jobs up` with the shop's handlers, on a port and a directory of its own; gives its address."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bayesian-jobs-pictures-") as place:
        os.chmod(place, 0o755)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("JOBS_", "DATABASE_"))},
            "JOBS_DATA_DIR": f"{place}/data",
            "JOBS_PORT": str(port),
            "JOBS_HANDLERS": "pictures.shop",
        }
        with subprocess.Popen([sys.executable, "-m", "bayesian_jobs", "up"], env=environment) as process:
            try:
                base = f"http://127.0.0.1:{port}"
                wait_until_ready(base)
                yield base
            finally:
                process.terminate()


def wait_until_ready(base: str) -> None:
    for _ in range(600):
        try:
            ask(base, "GET", "/readiness")
            return
        except OSError:  # Nobody answers yet; or 503, which is an OSError as well.
            time.sleep(0.1)
    raise TimeoutError("the service is not ready after a minute")


def ask(base: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if data else {}
    request = urllib.request.Request(f"{base}/api/v1{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def take(page: Page, url: str, to: Path) -> None:
    page.goto(url)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("[aria-busy]")).to_have_count(0)
    page.screenshot(path=to, full_page=True)
    sys.stdout.write(f"{to}\n")


if __name__ == "__main__":
    main()
