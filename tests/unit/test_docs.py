"""What the documentation lists is what there is: links, settings, commands, options, requests, states, tests."""

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from pathlib import Path

import pytest
from falcon import testing

from bayesian_jobs import cli
from bayesian_jobs.api.app import create_app
from bayesian_jobs.bootstrap import assemble
from bayesian_jobs.domain import job, run
from bayesian_jobs.domain.job import JobState
from bayesian_jobs.domain.run import RunState
from bayesian_jobs.domain.verdict import Verdict
from bayesian_jobs.errors import TaskNotFound
from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle.flows_file import read_flows
from bayesian_jobs.lifecycle.options import OPTIONS
from bayesian_jobs.settings import Settings, load
from bayesian_jobs.store import tables

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
ARROW = re.compile(r"^    (\w+) --> (\w+)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    targets = [target for target in LINK.findall(prose(page)) if "://" not in target]
    assert [target for target in targets if not resolves(page, target)] == []


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in LINK.findall(prose(page))
        if "://" not in target
    }
    decisions = ROOT / "docs/decisions"
    pages = {page for page in PAGES if page.parent != decisions and page.name != "README.md"}
    assert pages - linked == set()
    assert decisions in linked


def test_the_settings_are_those_that_a_process_reads() -> None:
    listed = first_column(REFERENCE / "settings.md", "variable")
    assert listed == [each.metadata["variable"] for each in fields(Settings)]


def test_the_commands_and_their_options_are_those_of_the_command_line() -> None:
    verbs = verbs_of(cli.parser())
    listed = first_column(REFERENCE / "command-line.md", "command")
    assert listed == [f"bayesian-jobs {name}" for name in verbs]

    options = {option for each in parsers_below(cli.parser()) for option in long_options(each)}
    assert {text.split()[0] for text in first_column(REFERENCE / "command-line.md", "option")} == options - {"--help"}


def test_the_checks_of_the_doctor_are_those_that_find_something() -> None:
    code = [*ROOT.glob("bayesian_jobs/lifecycle/diagnosis/*.py"), ROOT / "bayesian_jobs/lifecycle/doctor.py"]
    found = [
        (check, severity)
        for path in code
        for severity, check in re.findall(r'(wrong|notice)\(\s*"([\w-]+)"', path.read_text("utf-8"))
    ]
    page = (REFERENCE / "command-line.md").read_text("utf-8").split("| check |")[1].split("\n\n")[0]
    listed = re.findall(r"^\| `([\w-]+)` \| (\w+) \|", page, re.MULTILINE)
    assert set(listed) == set(found) - {("default-jobs", "wrong")}
    assert len(listed) == len(set(listed))


def test_the_metrics_are_those_that_are_measured(service_metrics: set[str]) -> None:
    assert set(first_column(REFERENCE / "metrics.md", "metric")) == service_metrics


@pytest.fixture
def service_metrics() -> set[str]:
    """The names that the code gives to metrics."""
    code = (ROOT / "bayesian_jobs/lifecycle/metrics.py").read_text("utf-8")
    return {f"bayesian_jobs_{name}" for name in re.findall(r'f"\{PREFIX\}(\w+)"', code)}


def test_the_commands_of_dev_are_those_that_it_tells_itself() -> None:
    told = re.findall(r"^    (\./dev \w+)", (ROOT / "dev").read_text("utf-8"), re.MULTILINE)
    assert first_column(REFERENCE / "command-line.md", "command", table=1) == told


def test_the_options_of_a_job_are_those_that_are_read() -> None:
    assert tuple(first_column(REFERENCE / "job-options.md", "option")) == OPTIONS


def test_the_requests_are_those_of_the_openapi_document() -> None:
    listed = first_column(REFERENCE / "rest-api.md", "request")
    assert len(listed) == len(set(listed))
    assert set(listed) == set(documented_requests())


@pytest.mark.parametrize(
    ("heading", "states", "transitions", "table"),
    [
        ("## Of a job", JobState, job.TRANSITIONS, tables.jobs),
        ("## Of a run", RunState, run.TRANSITIONS, tables.runs),
    ],
)
def test_the_states_are_those_of_the_domain_and_of_the_database(
    heading: str, states: type[StrEnum], transitions: Mapping[StrEnum, Iterable[StrEnum]], table: tables.Table
) -> None:
    section = (REFERENCE / "states.md").read_text("utf-8").split(heading)[1].split("\n## ")[0]
    arrows = ARROW.findall(section)
    assert sorted(arrows) == sorted((str(a), str(b)) for a, following in transitions.items() for b in following)

    names = [str(state) for state in states]
    assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == names
    (check,) = [each for each in table.constraints if each.name == f"{table.name}_state_check"]
    assert quoted(str(check.sqltext)) == names
    assert quoted(check_in_migrations(f"{table.name}_state_check")) == names


@pytest.mark.parametrize("page", ["explanation/guarantees.md", "explanation/security.md", "reference/behaviour.md"])
def test_the_tests_that_show_a_guarantee_exist(page: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / page).read_text("utf-8")))
    code = "\n".join(path.read_text("utf-8") for path in ROOT.glob("tests/**/test_*.py"))
    assert named - set(re.findall(r"def (test_\w+)\(", code)) == set()


def test_no_row_of_the_behaviour_is_without_a_test() -> None:
    rows = [line for line in (REFERENCE / "behaviour.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    assert [row for row in rows if "`test_" not in row and not row.endswith("| shown by |")] == []


def test_no_row_of_the_checklist_and_of_the_limits_is_without_a_test() -> None:
    page = (ROOT / "docs/explanation/security.md").read_text("utf-8").split("## The checklist")[1]
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.endswith("| shown by |")]
    assert len(rows) > 40
    assert [row for row in rows if not re.fullmatch(r".*\|( `test_\w+`,?)+ \|", row)] == []


def test_every_option_of_a_job_is_in_the_table_of_the_behaviour() -> None:
    page = (REFERENCE / "behaviour.md").read_text("utf-8")
    table = page.split("## Job options")[1].split("Refused, with")[0]
    assert set(OPTIONS) <= set(re.findall(r"`(\w+)`", table))


def test_the_example_of_a_handler_is_one() -> None:
    namespace: dict[str, object] = {}
    exec(blocks(ROOT / "docs/how-to/write-a-handler.md", "python")[0], namespace)
    handler = namespace["RemoveOldFiles"]
    assert isinstance(handler, type)
    assert issubclass(handler, BaseHandler)
    assert Registry([handler]).endpoint("RemoveOldFiles") == "remove-old-files"


def test_every_page_shows_the_same_request() -> None:
    pages = (ROOT / "README.md", ROOT / "docs/tutorial.md", ROOT / "examples/README.md")
    assert len({blocks(page, "bash")[0] for page in pages}) == 1


def test_files_that_are_shown_are_shown_as_they_are() -> None:
    shown = blocks(REFERENCE / "job-options.md", "yaml")[0]
    assert shown == (ROOT / "default_jobs/prune-history.yaml").read_text("utf-8")
    flows = (ROOT / "examples/flows.yaml").read_text("utf-8")
    assert flows.endswith(blocks(ROOT / "docs/how-to/flows.md", "yaml")[0])


def test_the_flows_of_the_guide_start_as_it_tells(tmp_path: Path) -> None:
    guide = ROOT / "docs/how-to/flows.md"
    (file := tmp_path / "flows.yaml").write_text(blocks(guide, "yaml")[1])
    flow = read_flows(file)["analysis"]

    def started(*names: str, **options: bool) -> list[str]:
        part = flow.select(names, **{"follow_subflows": True, "run_subsequent": False} | options)
        return [task.name for task in part.tasks]

    told = re.findall(r"^\| `\[\"(.*)\"\]` \| (.*?)(?::.*)? \|$", guide.read_text("utf-8"), re.MULTILINE)
    assert [name for name, _ in told] == ["scan", "deep.scan", "deep"]
    for name in ("scan", "deep.scan"):
        assert set(started(name)) == set(re.findall(r"`(.*?)`", dict(told)[name]))
    assert started("deep") == started("deep", follow_subflows=False) == ["fetch", "deep.unpack", "deep.scan"]
    assert started("scan", follow_subflows=False) == ["fetch", "scan"]
    assert len(started("scan", follow_subflows=False, run_subsequent=True)) == len(flow.tasks)
    with pytest.raises(TaskNotFound) as refused:
        started("nope")
    assert str(refused.value) in " ".join(guide.read_text("utf-8").split())


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCED.sub("", page.read_text("utf-8"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def resolves(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (page.parent / path) if path else page
    if not file.exists():
        return False
    return not anchor or anchor in {slug(line) for line in prose(file).splitlines() if line.startswith("#")}


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower()).replace(" ", "-")


def first_column(page: Path, heading: str, table: int = 0) -> list[str]:
    """What stands in backquotes in the first column of the n-th table whose first column is headed so."""
    found = re.findall(rf"^\| {heading} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", page.read_text("utf-8"), re.MULTILINE)
    return re.findall(r"^\| `([^`]+)`", found[table], re.MULTILINE)


def verbs_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (verbs,) = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    return dict(verbs.choices)


def parsers_below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from parsers_below(each)


def long_options(parser: argparse.ArgumentParser) -> list[str]:
    return [option for action in parser._actions for option in action.option_strings if option.startswith("--")]


def documented_requests() -> list[str]:
    """`METHOD /path` of every operation; those of the single handlers are one."""
    settings = load({"DATABASE_URL": "postgresql://nobody@localhost/nothing"})  # nothing here connects
    services = assemble(settings, "docs")
    document = testing.TestClient(create_app(services)).simulate_get("/api/v1/openapi.json", host="localhost").json
    endpoints = {f"/jobs/{services.registry.endpoint(name)}" for name in services.registry.public_names()}
    return [
        f"{method.upper()} {'/jobs/<handler>' if path in endpoints and method == 'post' else path}"
        for path, operations in document["paths"].items()
        for method in operations
    ]


def check_in_migrations(name: str) -> str:
    """The constraint as the newest migration that names it has it."""
    code = "\n".join(path.read_text("utf-8") for path in sorted(ROOT.glob("alembic/versions/*.py")))
    return re.findall(rf"CONSTRAINT {name} CHECK \((.*?\))\)", code, re.DOTALL)[-1]


def quoted(sql: str) -> list[str]:
    return re.findall(r"'(\w+)'", sql)


def test_the_verdicts_are_those_of_the_domain() -> None:
    assert first_column(REFERENCE / "rest-api.md", "verdict") == [str(verdict) for verdict in Verdict]
