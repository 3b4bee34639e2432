"""What jobs and runs hold is shown in a real browser as text: none of it becomes a part of the page."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect
from serving import listening_address
from sqlalchemy import create_engine, text
from test_swagger_ui import ROOT, browser, pytestmark

from bayesian_jobs.lifecycle import tokens

__all__ = ["browser", "pytestmark"]  # a fixture and a mark of the module beside

CORPUS = [
    "<script>alert('s')</script>",
    "<img src=x onerror=alert('i')>",
    "<svg/onload=alert('v')>",
    "\"><details open ontoggle=alert('d')>",
    "</script><script>alert('c')</script>",
    "</textarea><iframe srcdoc='<script>parent.alert(1)</script>'>",
    "javascript:alert('j')",
    "[link](javascript:alert('m')) ![image](x\"onerror=\"alert('n'))",
    "{{constructor.constructor('alert(1)')()}} ${alert('t')}",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "\u2028alert('l')//\u202egnp.exe",
]
JOB = """
INSERT INTO jobs (job_id, handler, state, paused_at, paused_reason, kwargs, description, tags, starts_at, error)
VALUES (:id, 'PruneHistory', 'paused', now(), :hostile,
        jsonb_build_object(CAST(:hostile AS text), CAST(:hostile AS text)),
        :hostile, ARRAY[:hostile], '2999-01-01', :hostile)
"""
RUN = """
INSERT INTO runs (run_id, job_no, job_id, job_version, actor, queue, scheduled_for, state, reason, traceback,
                  finished_at, kwargs)
SELECT gen_random_uuid(), job_no, job_id, version, :hostile, queue, now(), 'failed', :hostile,
       E'Traceback (most recent call last):\\n' || :hostile, now(), kwargs
FROM jobs WHERE job_id = :id
"""


@pytest.fixture(scope="module")
def served(new_database: Callable[[], AbstractContextManager[str]]) -> Iterator[tuple[str, str]]:
    """The address of an API that asks for tokens, and whose jobs and runs are hostile; and a token."""
    with new_database() as database_url:
        token = fill(database_url)
        environment = {**os.environ, "DATABASE_URL": database_url, "JOBS_AUTH": "tokens"}
        environment["JOBS_HANDLERS"] = "hostile_handlers"
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0"]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            try:
                yield listening_address(server.stderr), token
            finally:
                server.terminate()
                server.communicate(timeout=30)


def fill(database_url: str) -> str:
    """Returns a token."""
    engine = create_engine(database_url)
    _, token = tokens.create(engine, {"name": "browser", "scope": "admin"})
    with engine.begin() as connection:
        for number, hostile in enumerate(CORPUS):
            values = {"id": f"{hostile} {number}", "hostile": hostile}
            connection.execute(text(JOB), values)
            connection.execute(text(RUN), values)
    engine.dispose()
    return token


@pytest.fixture
def base(served: tuple[str, str]) -> str:
    return served[0]


@pytest.fixture
def token(served: tuple[str, str]) -> str:
    return served[1]


@pytest.fixture
def dialogs() -> list[str]:
    return []


@pytest.fixture
def page(base: str, browser: Browser, dialogs: list[str]) -> Page:
    page = browser.new_page()

    def trap(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", trap)
    page.goto(f"{base}/api/v1/ui/")
    return page


def authorize(page: Page, token: str) -> None:
    page.get_by_role("button", name="Authorize").click()
    page.locator(".auth-container input").fill(token)
    page.locator(".auth-container").get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").click()


def execute(page: Page, path: str) -> str:
    """Send the GET request by clicking. Returns what the page then shows as its status."""
    operation = page.locator(".opblock-get", has=page.locator(f'[data-path="{path}"]'))
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    status = operation.locator(".live-responses-table .response-col_status").last
    expect(status).to_contain_text("0")
    return status.inner_text()


def test_the_page_asks_for_a_token_and_shows_hostile_answers_as_text(
    page: Page, base: str, token: str, dialogs: list[str]
) -> None:
    assert "401" in execute(page, "/handlers")

    authorize(page, token)
    for path in ("/jobs", "/runs", "/audit"):
        assert "200" in execute(page, path)
    shown = page.locator(".opblock-get", has=page.locator('[data-path="/jobs"]'))
    for hostile in ("<img src=x onerror=alert('i')>", "<svg/onload=alert('v')>"):
        expect(shown.locator(".live-responses-table .response-col_description").last).to_contain_text(hostile)
    assert page.locator("[onerror], [onload], [ontoggle], iframe, script:not([src]), a[href^=javascript]").count() == 0
    assert dialogs == []

    page.evaluate("alert('the trap is set')")
    assert dialogs == ["the trap is set"]


def test_the_dashboard_shows_hostile_jobs_and_runs_as_text(
    browser: Browser, base: str, token: str, dialogs: list[str]
) -> None:
    page = browser.new_page()
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.goto(base)
    page.get_by_label("Token").fill("bj_nonsense.nonsense")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()

    for number, hostile in enumerate(CORPUS):
        job_id = f"{hostile} {number}"
        page.goto(f"{base}/#/jobs")
        page.get_by_role("link", name=job_id, exact=True).click()
        expect(page.get_by_role("heading", name=job_id, exact=True)).to_be_visible()
        if "/" in job_id:  # no path leads to such a job, which only SQL can make
            expect(page.get_by_role("alert").first).to_contain_text("Nothing is at")
            continue
        expect(page.get_by_label("History").get_by_text(hostile)).to_be_visible()
        expect(page.get_by_label("Keyword arguments")).to_contain_text(json.dumps(hostile, ensure_ascii=False))
        page.get_by_label("History").get_by_role("link").first.click()
        expect(page.get_by_label("Traceback")).to_contain_text(hostile)
    page.goto(f"{base}/#/runs")
    expect(page.get_by_label("Runs", exact=True).get_by_text(CORPUS[1]).first).to_be_visible()
    assert page.locator("main :is([onerror], [onload], [ontoggle], iframe, script, img, svg)").count() == 0
    assert page.locator("a[href^=javascript], a[href^=data]").count() == 0
    assert page.evaluate("Object.keys(localStorage)") == []
    assert page.context.cookies() == []
    assert dialogs == []


def test_the_policy_of_the_dashboard_lets_no_text_become_markup(page: Page, base: str) -> None:
    page.goto(base)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    outcome = page.evaluate("""() => {
        try { document.body.innerHTML = '<b>markup</b>'; return 'taken'; } catch (error) { return error.name; }
    }""")

    assert outcome == "TypeError"


def test_an_answer_that_a_browser_opens_by_itself_is_no_page(
    base: str, browser: Browser, token: str, dialogs: list[str]
) -> None:
    page = browser.new_context(extra_http_headers={"Authorization": f"Bearer {token}"}).new_page()
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))

    for path in ("/jobs", "/runs", "/jobs/%3Cscript%3Ealert(1)%3C%2Fscript%3E"):
        answer = page.goto(f"{base}/api/v1{path}")

        assert answer is not None
        assert answer.headers["content-type"].startswith(("application/json", "application/problem+json"))
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
        assert page.locator("script, img, svg, iframe").count() == 0
    assert dialogs == []


def test_the_policy_of_the_page_stops_a_script_that_gets_into_it(page: Page, dialogs: list[str]) -> None:
    expect(page.locator(".opblock").first).to_be_visible()
    page.evaluate("""() => {
        const hostile = '<img src=x onerror="alert(1)"><a id=l href="javascript:alert(2)">';
        document.body.insertAdjacentHTML('beforeend', hostile);
        const script = document.createElement('script');
        script.textContent = 'alert(3)';
        document.body.append(script);
        document.getElementById('l').click();
    }""")
    expect(page.locator("img[src=x]")).to_have_js_property("complete", True)

    assert dialogs == []
