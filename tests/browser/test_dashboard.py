"""The dashboard in a real browser over gunicorn: what the API tells is seen, in words, by everybody."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from sqlalchemy import Connection, create_engine, text
from test_swagger_ui import base, browser, pytestmark, visited

__all__ = ["base", "browser", "pytestmark", "visited"]  # fixtures and a mark of the module beside

RUN = """
INSERT INTO runs (run_id, job_no, job_id, job_version, actor, queue, scheduled_for, state, reason, missed_until,
                  missed_count, started_at, finished_at)
SELECT gen_random_uuid(), job_no, job_id, version, handler, queue, CAST(:at AS timestamptz), :state, :reason, :until,
       :count, CASE WHEN :state = 'succeeded' THEN CAST(:at AS timestamptz) + interval '1 second' END,
       CAST(:at AS timestamptz) + interval '3 seconds'
FROM jobs WHERE job_id = 'weekly' RETURNING run_id::text
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def page(base: str, browser: Browser, visited: list[str]) -> Page:
    """The dashboard, opened; it fails the test by any error on it."""
    page = browser.new_page()
    page.on("request", lambda request: visited.append(request.url))
    page.on("pageerror", lambda error: pytest.fail(f"the page raised {error}"))
    page.goto(f"{base}/#/jobs")
    return page


def ask(base: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if data else {}
    request = urllib.request.Request(f"{base}/api/v1{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def add(base: str, job_id: str, **options: Any) -> Any:
    body = {"handler": "Hostile", "kwargs": {"text": "hello"}, "job_id": job_id, **options}
    return ask(base, "POST", "/jobs", body)["job"]


def add_run(connection: Connection, at: str, state: str, reason: str = "", until: str | None = None) -> str:
    values = {"at": at, "state": state, "reason": reason, "until": until, "count": until and 4}
    run_id: str = connection.execute(text(RUN), values).scalar_one()
    return run_id


def test_without_a_job_the_page_says_how_to_add_one(page: Page, base: str, visited: list[str]) -> None:
    expect(page.get_by_text("There are no jobs yet.")).to_be_visible()
    assert page.url.startswith(base)
    assert {urlsplit(url).netloc for url in visited} == {urlsplit(base).netloc}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"periodically": "0 5 * * 1-5"}, "every weekday at 05:00"),
        ({"periodically": "30 3 * * *"}, "every day at 03:30"),
        ({"periodically": "@weekly", "timezone": "Europe/Prague"}, "every Sunday at 00:00 (Europe/Prague)"),
        ({"periodically": "*/5 * * * *"}, "every 5 minutes"),
        ({"periodically": "0 9 * * L5"}, "at 09:00, on the last Friday of the month"),
        ({"periodically": "1 week"}, "every week"),
        ({"periodically": "5:00:00"}, "every 5 hours"),
        ({"when": "2999-01-01"}, "once"),
    ],
)
def test_a_trigger_is_told_in_words(page: Page, base: str, options: dict[str, str], words: str) -> None:
    add(base, "told", **options)
    page.reload()

    expect(page.get_by_role("row", name="told").get_by_text(words, exact=True)).to_be_visible()


def test_jobs_are_searched_and_filtered_and_the_address_keeps_it(page: Page, base: str) -> None:
    for number in range(3):
        add(base, f"number {number}", periodically="1 day")
    ask(base, "PUT", "/jobs/number%201?state=paused&reason=holidays")
    rows = page.get_by_label("Jobs", exact=True).locator("tbody tr")
    page.reload()
    expect(rows).to_have_count(3)

    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("number 2")
    expect(rows).to_have_count(1)
    page.get_by_label("Search").fill("")
    page.get_by_label("State").select_option("paused")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("holidays")

    page.reload()
    expect(rows).to_have_count(1)
    page.goto(f"{base}/#/jobs?text=nothing")
    page.get_by_role("link", name="Show all jobs").click()
    expect(rows).to_have_count(3)


def test_a_long_list_is_read_page_by_page(page: Page, base: str, connection: Connection) -> None:
    connection.execute(
        text("""
            INSERT INTO jobs (job_id, handler, state, period)
            SELECT 'job ' || lpad(n::text, 3, '0'), 'Hostile', 'paused', '1 day' FROM generate_series(1, 120) AS n
        """)
    )
    rows = page.get_by_label("Jobs", exact=True).locator("tbody tr")
    page.reload()

    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Next page").click()
    expect(rows.first).to_contain_text("job 051")
    page.get_by_role("link", name="Next page").click()
    expect(rows).to_have_count(20)
    page.get_by_role("link", name="First page").click()
    expect(rows.first).to_contain_text("job 001")


def test_one_job_shows_its_fire_times_definition_and_who_changed_it(
    page: Page, base: str, connection: Connection
) -> None:
    add(base, "weekly", periodically="1 week", description="Cleans up", tags=["tidy"])
    add_run(connection, "2026-11-01T05:00Z", "succeeded")
    add_run(connection, "2026-11-08T05:00Z", "missed", "no scheduler was alive", until="2026-11-11T05:00Z")
    add_run(connection, "2026-11-15T05:00Z", "skipped", "the run before was still executing")
    page.reload()
    page.get_by_role("link", name="weekly").click()

    times = page.get_by_label("Fire times")
    expect(times.locator("li")).to_have_count(3 + 1 + 8)
    expect(times.get_by_role("link").nth(0)).to_have_accessible_name("succeeded: 1 Nov 05:00:00 UTC, took 2.0 s")
    expect(times.get_by_role("link").nth(1)).to_have_accessible_name(
        "missed: 8 Nov 05:00:00 UTC, 4 fire times until 11 Nov 05:00:00, no scheduler was alive"
    )
    expect(times.get_by_role("link").nth(2)).to_have_accessible_name(
        "skipped: 15 Nov 05:00:00 UTC, the run before was still executing"
    )
    times.get_by_role("link").first.focus()
    page.keyboard.press("ArrowRight")
    expect(times.get_by_role("link").nth(1)).to_be_focused()

    expect(page.get_by_label("History").locator("tbody tr")).to_have_count(3)
    expect(page.get_by_label("Keyword arguments")).to_contain_text('"text": "hello"')
    expect(page.get_by_label("Changes").get_by_role("row", name="job added")).to_contain_text("local")


def test_what_changes_is_seen_without_a_reload_and_nothing_is_made_anew(page: Page, base: str) -> None:
    add(base, "seen", periodically="1 day")
    page.reload()
    row = page.get_by_role("row", name="seen")
    expect(row).to_contain_text("running")
    row.evaluate("row => { row.isTheSame = true; }")

    ask(base, "PUT", "/jobs/seen?state=paused")

    expect(row).to_contain_text("paused", timeout=15_000)
    assert row.evaluate("row => row.isTheSame")


def test_when_the_api_does_not_answer_the_page_says_so_and_keeps_what_it_knew(page: Page, base: str) -> None:
    add(base, "kept", periodically="1 day")
    page.reload()
    expect(page.get_by_role("row", name="kept")).to_be_visible()

    def refuse(route: Route) -> None:
        route.abort()

    page.route("**/api/v1/**", refuse)
    expect(page.get_by_role("alert")).to_contain_text("The API does not answer", timeout=15_000)
    expect(page.get_by_role("row", name="kept")).to_be_visible()

    page.unroute("**/api/v1/**", refuse)
    expect(page.get_by_role("alert")).to_have_count(0, timeout=15_000)


def test_a_job_that_is_not_there_is_told(page: Page, base: str) -> None:
    page.goto(f"{base}/#/jobs/nobody")

    expect(page.get_by_role("alert").first).to_contain_text("nobody")


def test_the_theme_is_that_of_the_system_until_it_is_chosen(base: str, browser: Browser) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(base)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")

    page.get_by_role("button", name="Light").click()
    page.reload()

    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.context.close()


def test_the_policy_of_the_dashboard_blocks_nothing_that_it_needs(base: str, browser: Browser) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    add(base, "weekly", periodically="1 week")
    for path in ("#/jobs", "#/jobs/weekly"):
        page.goto(f"{base}/{path}")
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator("table").first).to_be_visible()

    assert complaints == []


def test_runs_are_filtered_by_state_and_lead_to_one_run(page: Page, base: str, connection: Connection) -> None:
    add(base, "weekly", periodically="1 week")
    add_run(connection, "2026-11-01T05:00Z", "succeeded")
    add_run(connection, "2026-11-08T05:00Z", "missed", "no scheduler was alive", until="2026-11-11T05:00Z")
    rows = page.get_by_label("Runs", exact=True).locator("tbody tr")
    page.goto(f"{base}/#/runs")
    expect(rows).to_have_count(2)

    page.get_by_label("State").select_option("missed")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("4 fire times")
    rows.get_by_role("link").first.click()

    expect(page.get_by_text("no scheduler was alive")).to_be_visible()
    expect(page.get_by_label("Keyword arguments")).to_contain_text('"text": "hello"')


def test_of_one_run_the_times_are_told(page: Page, base: str, connection: Connection) -> None:
    add(base, "weekly", periodically="1 week")
    run_id = add_run(connection, "2026-11-01T05:00Z", "succeeded")
    connection.execute(text("UPDATE runs SET queued_at = scheduled_for + interval '250 milliseconds'"))
    page.goto(f"{base}/#/runs/{run_id}")

    timing = page.get_by_label("Timing")
    for words in ("Due to queued 250 ms", "Queued to started 750 ms", "Started to finished 2.0 s"):
        expect(timing.get_by_role("row", name=words)).to_be_visible()


def test_a_failed_run_is_tried_again_with_edited_arguments(page: Page, base: str, connection: Connection) -> None:
    add(base, "weekly", periodically="1 week")
    run_id = add_run(connection, "2026-11-01T05:00Z", "failed", "ValueError: no such release")
    page.goto(f"{base}/#/runs/{run_id}")
    page.get_by_role("button", name="Try again …").click()
    dialog = page.get_by_role("dialog")

    for wrong, told in (("{", "This is no JSON"), ("[]", "it must be an object"), ('{"text": 1}', "kwargs.text")):
        dialog.get_by_label("Keyword arguments").fill(wrong)
        dialog.get_by_role("button", name="Try again").click()
        expect(dialog.get_by_role("alert")).to_contain_text(told)
    assert len(ask(base, "GET", "/runs")["runs"]) == 1
    dialog.get_by_label("Keyword arguments").fill('{"text": "repaired"}')
    dialog.get_by_role("button", name="Try again").click()

    expect(page.get_by_role("heading", level=1)).not_to_contain_text(run_id)
    expect(page.get_by_label("Keyword arguments")).to_contain_text('"text": "repaired"')
    again = ask(base, "GET", "/runs?state=queued")["runs"][0]
    assert (again["retry_of"], again["kwargs"]) == (run_id, {"text": "repaired"})


def test_what_got_no_answer_is_sent_again_under_the_same_key(page: Page, base: str, connection: Connection) -> None:
    add(base, "weekly", periodically="1 week")
    run_id = add_run(connection, "2026-11-01T05:00Z", "failed", "ValueError: no such release")
    keys: list[str | None] = []

    def lose_the_first_answer(route: Route) -> None:
        keys.append(route.request.headers.get("idempotency-key"))
        if len(keys) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route("**/retry", lose_the_first_answer)
    page.goto(f"{base}/#/runs/{run_id}")
    page.get_by_role("button", name="Try again …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Try again").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The API does not answer")
    dialog.get_by_role("button", name="Try again").click()
    expect(dialog).to_have_count(0)

    assert keys[0] is not None
    assert keys[0] == keys[1]
    assert len(ask(base, "GET", "/runs")["runs"]) == 2


def test_a_queued_run_is_cancelled(page: Page, base: str) -> None:
    add(base, "weekly", periodically="1 week")
    run_id = ask(base, "POST", "/jobs/weekly/run")["run"]["run_id"]
    page.goto(f"{base}/#/runs/{run_id}")
    page.get_by_role("button", name="Cancel").click()

    expect(page.get_by_role("button", name="Try again …")).to_be_visible()
    assert ask(base, "GET", f"/runs/{run_id}")["state"] == "cancelled"


def test_a_job_is_paused_with_a_reason_and_an_end_and_resumed(page: Page, base: str) -> None:
    add(base, "weekly", periodically="1 week")
    page.goto(f"{base}/#/jobs/weekly")
    page.get_by_role("button", name="Pause …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Why").fill("the mirror is being moved")
    dialog.get_by_label("Until").fill("some day")
    dialog.get_by_role("button", name="Pause").click()
    expect(dialog.get_by_role("alert")).to_contain_text("until")
    dialog.get_by_label("Until").fill("2999-12-24 18:00")
    dialog.get_by_role("button", name="Pause").click()

    expect(page.get_by_text("the mirror is being moved").first).to_be_visible()
    paused = ask(base, "GET", "/jobs/weekly")["paused"]
    assert (paused["reason"], paused["until"]) == ("the mirror is being moved", "2999-12-24T18:00:00Z")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause …")).to_be_visible()
    assert ask(base, "GET", "/jobs/weekly")["state"] == "running"


def test_a_job_runs_now_and_a_second_time_is_refused_in_words(page: Page, base: str) -> None:
    add(base, "weekly", periodically="1 week", when="2999-01-01")
    page.goto(f"{base}/#/jobs/weekly")
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Run")

    page.go_back()
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("alert")).to_contain_text("still queued or executing")
    assert [run["requested"] for run in ask(base, "GET", "/runs")["runs"]] == [True]


def test_a_job_is_deleted_after_a_question_that_escape_answers_with_no(page: Page, base: str) -> None:
    add(base, "weekly", periodically="1 week")
    page.goto(f"{base}/#/jobs/weekly")
    page.get_by_role("button", name="Delete …").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert ask(base, "GET", "/jobs/weekly")["state"] == "running"

    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("There are no jobs yet.")).to_be_visible()
    assert ask(base, "GET", "/jobs")["jobs"] == []


FAILED = """
WITH run AS (
    INSERT INTO runs (run_id, job_id, job_version, job_no, actor, queue, scheduled_for, state, reason)
    SELECT gen_random_uuid(), job_id, version, job_no, handler, queue, '2026-11-01', 'failed', :error
    FROM jobs WHERE job_id = :job_id RETURNING run_id, job_id, actor
)
INSERT INTO jobs (job_id, handler, state, kwargs)
SELECT 'entry of ' || job_id, 'ErrorHandler', 'paused', jsonb_build_object(
    'exc_str', CAST(:error AS text), 'failed_job_id', job_id, 'failed_job_handler', actor, 'run_id', run_id) FROM run
"""


def test_failures_are_grouped_and_all_of_a_kind_are_tried_again(page: Page, base: str, connection: Connection) -> None:
    page.goto(f"{base}/#/failures")
    expect(page.get_by_text("Nothing has failed for good")).to_be_visible()
    for number in range(3):
        add(base, f"job {number}", periodically="1 week", when="2999-01-01")
        connection.execute(text(FAILED), {"job_id": f"job {number}", "error": f"ValueError: no release {number}"})
    connection.execute(text("UPDATE runs SET state = 'cancelled' WHERE job_id = 'job 0'"))
    ask(base, "POST", "/jobs/job%201/run")  # so that one of the runs cannot be tried again
    page.reload()

    row = page.get_by_label("Failures", exact=True).locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("ValueError: no release #")
    row.get_by_role("button", name="Try again …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("keyword arguments").fill("{")
    dialog.get_by_role("button", name="Try again").click()
    expect(dialog.get_by_role("alert")).to_contain_text("This is no JSON")
    dialog.get_by_label("keyword arguments").fill('{"text": "repaired"}')
    dialog.get_by_role("button", name="Try again").click()
    expect(dialog.get_by_role("status")).to_have_text("2 asked for, 1 refused.")

    again = [run for run in ask(base, "GET", "/runs?state=queued")["runs"] if run["retry_of"]]
    assert {run["job_id"] for run in again} == {"job 0", "job 2"}
    assert all(run["kwargs"] == {"text": "repaired"} for run in again)


def test_failure_entries_are_removed_after_a_question(page: Page, base: str, connection: Connection) -> None:
    add(base, "job", periodically="1 week")
    connection.execute(text(FAILED), {"job_id": "job", "error": "ValueError"})
    page.goto(f"{base}/#/failures")
    page.get_by_role("button", name="Remove all entries …").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()

    expect(page.get_by_text("Nothing has failed for good")).to_be_visible()
    assert ask(base, "GET", "/jobs?job_type=failed")["jobs"] == []


def test_a_job_is_added_by_a_form_that_tells_before_when_it_would_run(page: Page, base: str) -> None:
    page.get_by_role("link", name="Add one").click()
    page.get_by_label("What it does").select_option("Hostile")
    expect(page.get_by_label("text")).to_have_value("<img src=x onerror=alert(1)><script>alert(2)</script>")
    page.get_by_label("text").fill("hello")
    page.get_by_label("job_id").fill("by form")
    page.get_by_label("periodically").fill("1 month")
    expect(page.get_by_role("alert")).to_contain_text("periodically")
    page.get_by_label("periodically").fill("0 5 * * *")
    page.get_by_label("when").fill("2999-01-01")
    expect(page.locator(".upcoming li").first).to_have_text("1 Jan 2999 05:00:00")
    assert ask(base, "GET", "/jobs")["jobs"] == []
    page.get_by_role("button", name="Add").click()

    expect(page.get_by_role("heading", name="by form")).to_be_visible()
    job = ask(base, "GET", "/jobs/by%20form")
    assert (job["kwargs"], job["periodically"]) == ({"text": "hello"}, "0 5 * * *")


def test_a_job_is_edited_only_as_it_was_seen(page: Page, base: str) -> None:
    add(base, "weekly", periodically="1 week", when="2999-01-01", description="Cleans up")
    page.goto(f"{base}/#/jobs/weekly")
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_text("Nothing would change.")).to_be_visible()
    page.get_by_label("periodically").fill("1 day")
    page.get_by_label("description").fill("")
    expect(page.get_by_text("1 week → 1 day")).to_be_visible()
    expect(page.locator(".upcoming li").nth(1)).to_have_text("2 Jan 2999 00:00:00")

    ask(base, "PATCH", "/jobs/weekly", {"priority": 2})
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody else has changed it meanwhile")
    assert ask(base, "GET", "/jobs/weekly")["periodically"] == "1 week"

    page.reload()
    page.get_by_label("periodically").fill("1 day")
    page.get_by_label("description").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="weekly", exact=True)).to_be_visible()
    job = ask(base, "GET", "/jobs/weekly")
    assert (job["periodically"], job["description"], job["priority"]) == ("1 day", None, 2)


def test_the_service_is_paused_and_resumed_and_who_is_missing_is_told(page: Page, base: str) -> None:
    page.goto(f"{base}/#/service")
    expect(page.get_by_role("alert")).to_contain_text("no scheduler is alive; no worker is alive")
    page.get_by_role("button", name="Pause everything …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Why").fill("the database moves")
    dialog.get_by_role("button", name="Pause").click()

    expect(page.get_by_text("the database moves")).to_be_visible()
    assert ask(base, "GET", "/service/state") == {"state": "paused", "reason": "the database moves"}
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause everything …")).to_be_visible()
    assert ask(base, "GET", "/service/state") == {"state": "running"}
