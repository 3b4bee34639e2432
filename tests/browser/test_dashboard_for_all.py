"""The dashboard can be used by everybody: axe-core finds nothing, in either theme, and a phone is wide enough."""

from datetime import UTC, datetime

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect
from sqlalchemy import Connection, text
from test_dashboard import FAILED, add, add_run, base, browser, connection, pytestmark, visited

__all__ = ["base", "browser", "connection", "pytestmark", "visited"]  # fixtures and a mark of the modules beside

SCREENS = {
    "#/": "Overview",
    "#/overview?last=day": "Overview",
    "#/jobs": "Jobs",
    "#/jobs?text=nothing": "Jobs",
    "#/jobs/weekly": "weekly",
    "#/jobs/weekly/edit": "Edit weekly",
    "#/add": "Add a job",
    "#/runs": "Runs",
    "#/runs/RUN": "Run",
    "#/failures": "Failures",
    "#/service": "Service",
    "#/nowhere": "Not found",
}
BUTTONS = {"#/jobs/weekly": "Pause …", "#/runs/RUN": "Try again …", "#/failures": "Try again …"}
PHONE, DESK = 360, 1200


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_axe_finds_nothing_on_any_screen(
    base: str, browser: Browser, connection: Connection, theme: str, width: int
) -> None:
    add(base, "weekly", periodically="1 week", description="Cleans up")
    run_id = add_run(connection, "2026-11-08T05:00Z", "missed", "no scheduler was alive", until="2026-11-11T05:00Z")
    add_run(connection, datetime.now(UTC).isoformat(), "succeeded")
    connection.execute(text(FAILED), {"job_id": "weekly", "error": "ValueError: " + "a-long-word-" * 30})
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)  # type: ignore[arg-type]
    for screen, heading in SCREENS.items():
        page.goto(f"{base}/{screen.replace('RUN', run_id)}")
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
        expect(page.locator("[aria-busy]")).to_have_count(0)
        if screen in BUTTONS:
            check(page, f"{screen} {theme} {width}")
            page.get_by_role("button", name=BUTTONS[screen]).first.click()
        check(page, f"{screen} {theme} {width}")


def check(page, where: str) -> None:
    found = Axe().run(page).response
    assert len(found["passes"]) > 10, where
    assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == [], where
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{where} is too wide"
