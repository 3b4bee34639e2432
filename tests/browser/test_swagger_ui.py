"""Swagger UI in a real browser over gunicorn: a job is added by clicking, and nothing leaves the host."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from serving import listening_address
from sqlalchemy import create_engine, text

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no program chromium, chromium-browser or google-chrome here (Debian: chromium)"
)


@pytest.fixture
def base(database_url: str) -> Iterator[str]:
    """The address of the API as gunicorn serves it, on a port of the kernel's choice."""
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "JOBS_HANDLERS": "hostile_handlers",
        "JOBS_LOG_LEVEL": "INFO",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            yield listening_address(server.stderr)
        finally:
            server.terminate()
            server.communicate(timeout=30)


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visited() -> list[str]:
    """Every address that the page asked for."""
    return []


@pytest.fixture
def page(base: str, browser: Browser, visited: list[str]) -> Page:
    """The page, opened; it fails the test by any error on it and by any dialog."""
    page = browser.new_page()
    page.on("request", lambda request: visited.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(f"the page opened a dialog: {dialog.message}"))
    page.on("pageerror", lambda error: pytest.fail(f"the page raised {error}"))
    page.goto(f"{base}/api/v1/")
    return page


def test_a_job_is_added_by_clicking(page: Page, base: str, visited: list[str], database_url: str) -> None:
    assert page.url == f"{base}/api/v1/ui/"
    for group in ("Add new jobs", "Jobs options", "Service settings"):
        expect(page.locator(f'[data-tag="{group}"]')).to_be_visible()

    operation = page.locator(".opblock-post", has=page.locator('[data-path="/jobs/flow-scheduling"]'))
    operation.locator(".opblock-summary").click()
    for option in ("job_id", "periodically", "when", "misfire_grace_time", "state"):
        expect(operation.locator(f'tr[data-param-name="{option}"] .parameter__type')).to_contain_text("string")
    operation.get_by_role("button", name="Try it out").click()
    body = operation.locator("textarea.body-param__text")
    assert json.loads(body.input_value())["flow_name"] == "bayesianFlow"

    operation.locator('tr[data-param-name="job_id"] input').fill("by hand")
    body.fill('{"flow_name": "edited", "flow_arguments": []}')
    operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("201")
    curl = operation.locator(".curl-command").inner_text()
    assert "curl -X 'POST'" in curl
    assert f"{base}/api/v1/jobs/flow-scheduling?job_id=by%20hand" in curl
    assert '"flow_name": "edited"' in curl
    assert stored(database_url) == [("by hand", {"flow_name": "edited", "flow_arguments": []})]
    assert {urlsplit(url).netloc for url in visited if not url.startswith("data:")} == {urlsplit(base).netloc}

    subprocess.run(["curl", "-sfX", "DELETE", f"{base}/api/v1/jobs/by%20hand"], check=True)
    answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["job"]["job_id"] == "by hand", "the command runs as it is printed"
    assert stored(database_url) == [("by hand", {"flow_name": "edited", "flow_arguments": []})]


def test_documentation_of_a_handler_cannot_run_a_script(page: Page) -> None:
    operation = page.locator(".opblock-post", has=page.locator('[data-path="/jobs/hostile"]'))
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Try it out").click()
    expect(operation.locator("textarea.body-param__text")).to_be_visible()

    assert page.locator("[onerror], script:not([src]), a[href^=javascript]").count() == 0


def test_the_policy_of_the_page_blocks_nothing_that_it_needs(base: str, browser: Browser) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(f"{base}/api/v1/ui/")
    expect(page.locator(".opblock").first).to_be_visible()

    assert complaints == []


def stored(database_url: str) -> list[tuple[str, object]]:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT job_id, kwargs FROM jobs")).all()
    engine.dispose()
    return [tuple(row) for row in rows]
