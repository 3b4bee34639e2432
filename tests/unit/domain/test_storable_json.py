"""Whatever users hand over, what is kept of it is JSON that can be kept."""

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hostile import Hostile, is_storable
from hypothesis import given
from hypothesis import strategies as st

from bayesian_jobs.domain.storable import storable_json


def test_json_values_stay_as_they_are() -> None:
    value = {"a": [1, -2.5, True, None, "text"], "b": {"c": [[]], "d": {}}, "": 2**63 - 1}
    assert storable_json(value) == value


class Colour(IntEnum):
    RED = 1


class Word(StrEnum):
    ONE = "one"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (2**63, str(2**63)),
        (-(2**63), -(2**63)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        ("\0\udc80", "␀�"),
        ((1, (2,)), [1, [2]]),
        ({1}, [1]),
        ({1: "a", None: "b", "\0": "c", (1, 2): "d"}, {"1": "a", "None": "b", "␀": "c", "(1, 2)": "d"}),
        ({1: "a", "1": "b"}, {"1": "a", "1 #1": "b"}),
        (datetime(2026, 11, 23, tzinfo=UTC), "2026-11-23T00:00:00+00:00"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/a/b"), "/a/b"),
        (b"\0", "b'\\x00'"),
        (Colour.RED, 1),
        (Word.ONE, "one"),
        (Hostile(SystemExit()), "<hostile.Hostile without a usable repr>"),
        ({"a": Hostile(ValueError())}, {"a": "<hostile.Hostile without a usable repr>"}),
    ],
)
def test_what_json_does_not_know_becomes_text(value: Any, expected: Any) -> None:
    result = storable_json(value)
    assert result == expected
    assert type(result) is type(expected)


def test_a_number_of_100_000_digits_becomes_a_text() -> None:
    assert storable_json(10**100_000).startswith("0x")


def test_values_that_hold_themselves_or_nest_without_end_are_cut() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert storable_json(loop) == [1, "… (refers to itself)"]
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    text = json.dumps(storable_json(deep))
    assert text.count("[") == 64
    assert "nested deeper than 64 levels" in text
    while isinstance(deep, list):  # unwrapped step by step: freeing it in one go would recurse in C
        deep = deep[0]


def test_shared_references_do_not_multiply_without_bound() -> None:
    laugh: Any = ["ha"] * 10
    for _ in range(20):
        laugh = [laugh] * 10
    assert json.dumps(storable_json(laugh)).count("ha") <= 100_000


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary(max_size=5)
    | st.complex_numbers()
    | st.text(st.characters(categories=None, exclude_categories=()), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers() | st.text(max_size=3) | st.floats(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


@given(anything)
def test_any_value_becomes_json_without_nan_nul_or_surrogates(value: Any) -> None:
    result = storable_json(value)
    text = json.dumps(result, allow_nan=False, ensure_ascii=False)
    assert is_storable(text)
    assert "\\u0000" not in text
    assert json.loads(text) == result
    assert storable_json(result) == result
