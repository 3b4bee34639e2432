"""The first screen: what waits, what became of the runs of late, what has failed, and who is alive."""

from datetime import UTC, datetime, timedelta

from playwright.sync_api import Page, expect
from sqlalchemy import Connection, text
from test_dashboard import FAILED, add, add_run, base, browser, connection, page, pytestmark, visited

__all__ = ["base", "browser", "connection", "page", "pytestmark", "visited"]  # fixtures and a mark of the module beside

PROCESS = """
INSERT INTO processes (kind, hostname, pid, version, lease_until, queues, holding)
VALUES (:kind, :hostname, 4711, '0.1.0', now() + CAST(:lease AS interval), '{default,reports}',
        CAST(:holding AS uuid[]))
"""
RUN_ID = "00000000-0000-4000-8000-000000000000"


def add_process(connection: Connection, kind: str, hostname: str, lease: str, holding: list[str] | None = None) -> None:
    values = {"kind": kind, "hostname": hostname, "lease": lease, "holding": holding or []}
    connection.execute(text(PROCESS), values)


def ago(**how: float) -> str:
    return (datetime.now(UTC) - timedelta(**how)).isoformat()


def test_where_nothing_has_happened_the_first_screen_says_what_is_missing(page: Page, base: str) -> None:
    page.goto(base)
    page.reload()

    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.get_by_text("No fire time lies in this stretch.")).to_be_visible()
    expect(page.get_by_text("Nothing has failed for good.")).to_be_visible()
    expect(page.get_by_text("No scheduler is alive: start one, bayesian-jobs scheduler.")).to_be_visible()
    expect(page.get_by_text("No worker is alive: start one, bayesian-jobs worker.")).to_be_visible()


def test_the_plots_and_the_table_tell_what_became_of_the_runs(page: Page, base: str, connection: Connection) -> None:
    add(base, "weekly", periodically="1 week", when="2999-01-01")
    for number in range(3):
        add_run(connection, ago(minutes=20, seconds=number), "succeeded")
    add_run(connection, ago(minutes=10), "missed", until=ago(minutes=9))
    add_run(connection, ago(hours=5), "failed", "ValueError: no such release")
    connection.execute(text("UPDATE runs SET attempt = 1 WHERE state = 'succeeded'"))  # begun a second late
    page.goto(f"{base}/#/overview")
    page.reload()

    outcomes = page.get_by_role("img", name="Last hour: 3 succeeded, 4 missed", exact=True)
    expect(outcomes).to_be_visible()
    assert outcomes.locator("rect.succeeded").count() in (1, 2)  # The minute may have turned.
    assert outcomes.locator("rect.missed").count() == 1
    expect(page.get_by_text("worst 1.0 s", exact=True)).to_be_visible()
    lateness = page.get_by_role("img", name="Last hour: how late runs began")
    assert lateness.locator("rect.median").count() == outcomes.locator("rect.succeeded").count()

    page.get_by_text("The same as a table").click()
    newest = page.get_by_role("table", name="Steps").locator("tbody tr").first
    expect(newest.locator("td[data-label=Missed]")).to_have_text("4")

    page.get_by_role("link", name="Last day").click()
    expect(page.get_by_role("img", name="Last day: 3 succeeded, 1 failed, 4 missed", exact=True)).to_be_visible()
    assert page.url.endswith("#/overview?last=day")


def test_what_has_failed_and_who_is_alive_are_told(page: Page, base: str, connection: Connection) -> None:
    add(base, "weekly", periodically="1 week", when="2999-01-01")
    connection.execute(text(FAILED), {"job_id": "weekly", "error": "ValueError: no such release"})
    add_process(connection, "scheduler", "one.example", "1 minute")
    add_process(connection, "worker", "two.example", "1 minute", [RUN_ID])
    add_process(connection, "worker", "three.example", "-1 minute")
    page.goto(f"{base}/#/overview")
    page.reload()

    expect(page.get_by_role("table", name="What has failed")).to_contain_text("ValueError: no such release")
    processes = page.get_by_role("table", name="Who is alive")
    expect(processes.get_by_role("row", name="one.example")).to_contain_text("alive")
    expect(processes.get_by_role("row", name="two.example")).to_contain_text("default, reports")
    expect(processes.get_by_role("row", name="three.example")).to_contain_text("not heard of")
    expect(page.get_by_text("is alive: start one")).to_have_count(0)
    expect(page.locator("dl.facts").get_by_text("Executing").locator("xpath=following-sibling::dd")).to_have_text("1")

    page.get_by_role("link", name="To the failures").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Failures")
