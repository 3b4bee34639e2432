"""Which Python values are JSON that PostgreSQL's JSONB keeps and gives back unchanged."""

import json
from collections.abc import Iterable
from math import isfinite, log10
from typing import Any

MAX_DEPTH = 32
INT_64_BIT = range(-(2**63), 2**63)


def why_not_storable(value: object, depth: int = 0) -> str | None:
    """A phrase that says why JSONB would not keep `value` as it is, or None when it would."""
    if depth > MAX_DEPTH:
        return f"is nested deeper than {MAX_DEPTH} levels"
    match value:
        case None | bool():
            return None
        case str():
            return _why_not_text(value)
        case int():
            return None if value in INT_64_BIT else "holds an integer of more than 64 bits"
        case float():
            return None if isfinite(value) else "is not a finite number"
        case dict():
            keys = (_why_not_key(key) for key in value)
            return _first(keys) or _first(why_not_storable(item, depth + 1) for item in value.values())
        case list():
            return _first(why_not_storable(item, depth + 1) for item in value)
    return f"is not JSON but a Python {type(value).__name__}"


def zeros_written_out(value: object) -> int:
    """How many zeros JSONB writes for the exponents of numbers: 1e308 is kept small, and comes back as 309 digits."""
    match value:
        case float() if value:
            return abs(round(log10(abs(value))))
        case dict():
            return sum(zeros_written_out(item) for item in value.values())
        case list():
            return sum(zeros_written_out(item) for item in value)
    return 0


def as_kept(value: Any) -> Any:
    """The JSON value as it comes back from JSONB, whose numbers are decimal: no float is as large as 1e16, which is
    written without an exponent and read as an integer, and none is -0.0."""
    match value:
        case float():
            return int(value) if abs(value) >= 1e16 else value + 0.0
        case dict():
            return {key: as_kept(item) for key, item in value.items()}
        case list():
            return [as_kept(item) for item in value]
    return value


def same_json(one: Any, other: Any) -> bool:
    """Whether JSONB keeps both as the same value. To Python, true is 1."""
    one, other = (json.dumps(as_kept(value), sort_keys=True) for value in (one, other))
    return bool(one == other)


def _why_not_key(key: object) -> str | None:
    return _why_not_text(key) if isinstance(key, str) else "has a key that is not a string"


def _why_not_text(text: str) -> str | None:
    if "\0" in text:
        return "contains a NUL character"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "contains a lone surrogate"
    return None


def _first(reasons: Iterable[str | None]) -> str | None:
    return next((reason for reason in reasons if reason), None)
