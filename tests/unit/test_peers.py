"""The peers of `./dev bench`: their scripts and answers are read right, and none is dropped without a word."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import beside, environments, report
from benchmarks.__main__ import BESIDE_PEERS, PARTS, chosen
from benchmarks.environments import SCRIPTS, Unavailable
from benchmarks.services import Services

NAMES = sorted(file.stem for file in SCRIPTS.glob("*.*") if "/// script" in file.read_text("utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_pins_what_it_depends_on_and_says_where_its_set_up_comes_from(name: str) -> None:
    script = environments.script(name)
    assert script.dependencies
    assert all(re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", each) for each in script.dependencies)
    assert all(re.fullmatch(r"[\w-]+@\d+\.\d+\.\d+", each) for each in script.npm)
    assert "https://" in script.path.read_text("utf-8")


def test_a_head_is_toml_in_the_comments_of_either_language() -> None:
    for mark in ("#", "//"):
        text = f"{mark} /// script\n{mark} dependencies = [\n{mark}   'one==1',\n{mark} ]\n{mark}\n{mark} ///\nrest\n"
        assert environments.read_head(text) == {"dependencies": ["one==1"]}


def test_a_script_without_a_head_is_refused() -> None:
    with pytest.raises(ValueError, match="no head"):
        environments.read_head("# dependencies = ['one']\n")


def test_the_reason_why_an_environment_cannot_be_made_names_no_address() -> None:
    assert environments.last_words("error: no one==1 at https://user:pass@index.example/simple\n\n") == (
        "error: no one==1 at …"
    )
    assert environments.last_words("") == "it did not say why"


def test_an_answer_is_the_last_line() -> None:
    assert beside.read_answer('a warning\n{"done": 3, "seconds": 0.5}\n') == {"done": 3, "seconds": 0.5}


@pytest.mark.parametrize("output", ["", "Killed", '{"seconds": 0.5}', "[1]"])
def test_an_answer_that_does_not_say_how_many_were_done_is_a_failure(output: str) -> None:
    with pytest.raises(beside.Failed, match="answer"):
        beside.read_answer(output)


def test_a_server_that_is_not_installed_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with Services(tmp_path) as services:
        for _ in ("the first that asks", "the next one"):
            with pytest.raises(Unavailable, match=r"no redis-server .*apt-get install"):
                services.address("redis")


def test_a_peer_that_fails_is_reported_by_name_and_its_figures_are_gone(tmp_path: Path) -> None:
    table = report.Table()
    for name in ("Queue", "Queue: median", "Queue, 2 processes"):
        table.note(name, "runs/s", 1.0)
    table.versions["Queue"] = "queue==1"

    table.leave_out("Queue", "it fell over")

    result = report.Result(
        part="execute-peers",
        title="execute-peers",
        began=datetime(2026, 1, 1, tzinfo=UTC),
        repetitions=1,
        machine={},
        figures=table.figures,
        versions=table.versions,
        missing=table.missing,
    )
    assert [figure.name for figure in table.figures] == ["Queue, 2 processes"]
    assert "not measured: Queue: it fell over" in report.as_text(result)
    kept = json.loads(report.keep(result, tmp_path).read_text("utf-8"))
    assert kept["not measured"] == {"Queue": "it fell over"}
    assert kept["peers"] == {}


def test_peers_is_a_word_for_all_parts_beside_them_and_nothing_for_all_others() -> None:
    assert chosen([]) == list(PARTS)
    assert chosen(["idle", "peers"]) == ["idle", *BESIDE_PEERS]
    with pytest.raises(SystemExit, match="no part 'pears'"):
        chosen(["pears"])
