"""Finding handlers, and naming them."""

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bayesian_jobs.errors import HandlerNotFound, HandlerUnusable, InvalidOptions, SettingsError
from bayesian_jobs.handlers import registry
from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.handlers.registry import Registry, discover, endpoint_of

HANDLER = """
from abc import abstractmethod
from bayesian_jobs.handlers.base import BaseHandler

class {name}(BaseHandler):
    def execute(self, a: int) -> None: ...

class Unfinished(BaseHandler):
    @abstractmethod
    def more(self) -> None: ...
"""


class FlowStart(BaseHandler):
    def execute(self, a: int) -> None: ...


class Hidden(BaseHandler):
    internal = True

    def execute(self, **kwargs: Any) -> None: ...


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty package `their_jobs` that can be imported."""
    directory = tmp_path / "their_jobs"
    directory.mkdir()
    (directory / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield directory
    for name in [name for name in sys.modules if name.startswith("their_jobs")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [
        ("FlowScheduling", "flow-scheduling"),
        ("SelectiveFlowScheduling", "selective-flow-scheduling"),
        ("HTTPCheck", "http-check"),
        ("Clean_Postgres", "clean-postgres"),
        ("S3Sync", "s3-sync"),
    ],
)
def test_an_endpoint_is_the_class_name_in_kebab_case(name: str, endpoint: str) -> None:
    assert endpoint_of(name) == endpoint


def test_a_registry_knows_handlers_by_name_and_endpoint() -> None:
    known = Registry([Hidden, FlowStart])

    assert known.names() == ("FlowStart", "Hidden")
    assert known.public_names() == ("FlowStart",)
    assert known.get("FlowStart") is FlowStart
    assert known.endpoint("FlowStart") == "flow-start"
    assert known.by_endpoint("flow-start") is FlowStart
    assert known.signature("FlowStart") is known.signature("FlowStart")
    assert "FlowStart" in known
    assert list(known) == ["FlowStart", "Hidden"]
    assert len(known) == 2


def test_an_unknown_name_is_a_fault_of_the_option_handler() -> None:
    with pytest.raises(InvalidOptions, match=r"handler: 'Nope': is not a known handler \(known: FlowStart\)"):
        Registry([FlowStart]).get("Nope")


@pytest.mark.parametrize("endpoint", ["nope", "hidden", ""])
def test_an_endpoint_of_no_public_handler_is_not_found(endpoint: str) -> None:
    with pytest.raises(HandlerNotFound, match="known: flow-start"):
        Registry([FlowStart, Hidden]).by_endpoint(endpoint)


def test_two_classes_of_one_name_are_refused_naming_both() -> None:
    other = type("FlowStart", (FlowStart,), {"__module__": "elsewhere"})

    with pytest.raises(HandlerUnusable, match=r"elsewhere\.FlowStart.*taken by .*test_registry\.FlowStart"):
        Registry([FlowStart, other])


def test_two_names_of_one_endpoint_are_refused() -> None:
    with pytest.raises(HandlerUnusable, match="its endpoint: 'flow-start' is taken by"):
        Registry([FlowStart, type("Flow_Start", (FlowStart,), {})])


def test_an_endpoint_that_a_route_needs_is_refused() -> None:
    with pytest.raises(HandlerUnusable, match="'clean-failed' is reserved"):
        Registry([type("CleanFailed", (FlowStart,), {})])


def test_the_handlers_of_the_project_are_found() -> None:
    assert "FlowScheduling" in discover([]).public_names()
    assert "ErrorHandler" not in discover([]).public_names()


def test_handlers_of_a_named_package_are_found_in_all_its_modules(package: Path) -> None:
    (package / "deep").mkdir()
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "work.py").write_text(HANDLER.format(name="TheirWork"))
    (package / "again.py").write_text("from their_jobs.deep.work import TheirWork\n")
    (package / "__main__.py").write_text("raise SystemExit(1)\n")

    known = discover(["their_jobs"])

    assert known.get("TheirWork").__module__ == "their_jobs.deep.work"
    assert "Unfinished" not in known


def test_a_single_module_may_be_named(package: Path) -> None:
    (package / "work.py").write_text(HANDLER.format(name="TheirWork"))

    assert "TheirWork" in discover(["their_jobs.work"])


@pytest.mark.parametrize("name", ["no_such_package", "their_jobs.broken"])
def test_a_package_that_cannot_be_imported_is_named(package: Path, name: str) -> None:
    (package / "broken.py").write_text("1 / 0\n")

    with pytest.raises(SettingsError, match=f"JOBS_HANDLERS='{name}': cannot be imported: "):
        discover([name])


def test_a_user_class_that_has_the_name_of_ours_is_refused(package: Path) -> None:
    (package / "work.py").write_text(HANDLER.format(name="FlowScheduling"))

    with pytest.raises(HandlerUnusable, match=r"their_jobs\.work\.FlowScheduling"):
        discover(["their_jobs"])


def test_entry_points_may_name_classes_and_modules(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "work.py").write_text(HANDLER.format(name="TheirWork"))
    group = registry.ENTRY_POINTS
    points = [
        metadata.EntryPoint("theirs", "their_jobs", group),
        metadata.EntryPoint("same", "their_jobs.work:TheirWork", group),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points)

    assert "TheirWork" in discover([])


def test_an_entry_point_that_cannot_be_imported_is_named(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "broken.py").write_text("1 / 0\n")
    point = metadata.EntryPoint("theirs", "their_jobs.broken", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda *, group: [point])

    with pytest.raises(HandlerUnusable, match=r"theirs.*cannot be imported: ZeroDivisionError"):
        discover([])


def test_an_entry_point_that_is_no_handler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    point = SimpleNamespace(name="odd", load=lambda: 3)
    monkeypatch.setattr(registry, "entry_points", lambda *, group: [point])

    with pytest.raises(HandlerUnusable, match="odd"):
        discover([])
