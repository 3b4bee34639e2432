"""Whatever users raise or write, what is kept of it can be kept."""

import json
from typing import NoReturn

import pytest
from hostile import Hostile, is_storable
from hypothesis import given
from hypothesis import strategies as st

from bayesian_jobs.domain.storable import describe_exception, storable_text


class HostileError(Exception):
    def __str__(self) -> str:
        raise SystemExit("from str()")

    __repr__ = __str__


class HostileType(type):
    def __getattribute__(cls, name: str) -> NoReturn:
        raise ValueError(name)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_ordinary_text_stays_as_it_is() -> None:
    assert storable_text("späte Läufe\n\t任务 🎉") == "späte Läufe\n\t任务 🎉"
    assert storable_text("x" * 65_536) == "x" * 65_536


def test_nul_and_lone_surrogates_are_replaced_visibly() -> None:
    assert storable_text("a\0b\ud800c\udfffd") == "a␀b�c�d"


def test_a_long_text_keeps_its_beginning_and_end_and_says_what_is_missing() -> None:
    text = storable_text("b" * 1000 + "m" * 100_000_000 + "e" * 1000, 4096)
    assert len(text) <= 4096
    assert text.startswith("b" * 1000)
    assert text.endswith("e" * 1000)
    note = next(line for line in text.splitlines() if "left out" in line)
    assert int(note.split()[1]) == 100_002_000 - (len(text) - len(note) - 2)


@given(st.text(st.characters(categories=None, exclude_categories=()), max_size=300), st.integers(100, 400))
def test_any_text_becomes_storable_within_its_limit(text: str, limit: int) -> None:
    result = storable_text(text, limit)
    assert is_storable(result)
    assert len(result.encode()) <= limit


def test_an_exception_is_described_by_one_line_and_its_traceback() -> None:
    line, text = describe_exception(raised(ValueError("two\nlines")))
    assert line == "ValueError: two lines"
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("ValueError: two\nlines\n")
    assert "in raised" in text


def test_an_exception_of_another_module_is_named_with_it() -> None:
    line, text = describe_exception(json.JSONDecodeError("bad", "doc", 0))
    assert line.startswith("json.decoder.JSONDecodeError: bad")
    assert text == f"{line}\n"
    assert describe_exception(KeyError())[0] == "KeyError"


def test_causes_contexts_notes_and_groups_are_part_of_the_traceback() -> None:
    try:
        try:
            try:
                raise KeyError("first")
            except KeyError:
                raise TypeError("second")  # noqa: B904
        except TypeError as error:
            raise ExceptionGroup("third", [OSError("inner one"), ValueError("inner two")]) from error
    except ExceptionGroup as caught:
        caught.add_note("a note\0")
        line, text = describe_exception(caught)
    assert line == "ExceptionGroup: third (2 sub-exceptions)"
    positions = [
        text.index(part) for part in ("first", "During handling", "second", "direct cause", "third", "a note␀")
    ]
    assert positions == sorted(positions)
    assert "1. of 2: OSError: inner one" in text
    assert "2. of 2: ValueError: inner two" in text


def test_a_suppressed_context_is_not_shown() -> None:
    try:
        try:
            raise KeyError("hidden")
        except KeyError:
            raise TypeError("shown") from None
    except TypeError as caught:
        text = describe_exception(caught)[1]
    assert "hidden" not in text
    assert "shown" in text


def test_exceptions_that_refer_to_each_other_are_described_once() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert describe_exception(first)[1].count("ValueError") == 2


def test_a_chain_of_20_000_exceptions_is_cut() -> None:
    newest = ValueError("the newest")
    older: BaseException = newest
    for _ in range(20_000):
        older.__context__ = ValueError("older")
        older = older.__context__
    assert describe_exception(newest)[1].count("ValueError: ") == 8
    # Unlinked step by step: freeing the chain in one go would recurse in C.
    link: BaseException | None = newest
    while link is not None:
        link.__context__, link = None, link.__context__


def test_a_recursion_error_has_a_short_traceback() -> None:
    def endless(depth: int) -> int:
        return endless(depth + 1) + 1

    with pytest.raises(RecursionError) as caught:
        endless(0)
    line, text = describe_exception(caught.value)
    assert line.startswith("RecursionError: ")
    assert len(text) < 5000


@pytest.mark.parametrize(
    "error",
    [
        HostileError("x"),
        ValueError(Hostile(ValueError("x"))),
        ValueError(Hostile(KeyboardInterrupt())),
        ValueError(Hostile(RecursionError())),
        KeyError(Hostile(SystemExit(3))),
        HostileType("Nameless", (Exception,), {})("x"),
        SystemExit(2),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"),
        ValueError("\0\ud800 " * 50_000),
        ValueError("x" * 100_000_000),
        ValueError("任" * 100_000),
        ExceptionGroup("many", [ValueError("y" * 100_000)] * 1000),
    ],
    ids=lambda error: type.__dict__["__name__"].__get__(type(error)),
)
def test_no_exception_is_too_hostile_to_be_described(error: BaseException) -> None:
    line, text = describe_exception(raised(error))
    assert line
    assert text
    assert "\n" not in line
    assert is_storable(line + text)
    assert len(line.encode()) <= 16_384
    assert len(text.encode()) <= 65_536
