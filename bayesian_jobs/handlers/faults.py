"""Faults, told as far as a reader follows them; and pydantic's errors about keyword arguments as faults."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from bayesian_jobs.errors import Fault

MAX_FAULTS: Final = 20
MAX_OPTION: Final = 200
_MORE: Final = "…"
_DECODER: Final = json.JSONDecoder()

Detail = Mapping[str, Any]
"""One of pydantic's errors: `type`, `loc` and `msg`."""


def faults_of(error: ValidationError, kwargs: Mapping[str, Any], handler: str, known: Sequence[str]) -> list[Fault]:
    """One fault for each place in `kwargs`; the branches of a union that all failed are one fault.

    Reads the first MAX_FAULTS of pydantic's errors; if there are more, a last fault counts them.
    """
    values: dict[str, Any] = {}
    reasons: dict[str, list[str]] = {}
    for detail in _first_details(error):
        option, value = _locate(kwargs, detail)
        values[option] = value
        reasons.setdefault(option, []).append(_reason(detail, handler, known))
    faults = [Fault(named(option), values[option], " or ".join(found)) for option, found in reasons.items()]
    return faults + _and_more(error.error_count() - MAX_FAULTS)


def at_most(faults: Sequence[Fault]) -> list[Fault]:
    """The first MAX_FAULTS of the faults; if there are more, a last one counts them."""
    left = sum(fault.value if is_more(fault) else 1 for fault in faults[MAX_FAULTS:])  # type: ignore[misc]
    return [*faults[:MAX_FAULTS], *_and_more(left)]


def is_more(fault: Fault) -> bool:
    """Whether this is no fault of its own but stands for all those that are not told."""
    return fault.option == _MORE and isinstance(fault.value, int)


def named(option: str) -> str:
    """The option's name as a fault may tell it."""
    return option if len(option) <= MAX_OPTION else f"{option[:MAX_OPTION]}… ({len(option)} characters)"


def _and_more(count: int) -> list[Fault]:
    return [Fault(_MORE, count, f"and {count} more")] if count > 0 else []


def _first_details(error: ValidationError) -> Iterator[Detail]:
    """The first MAX_FAULTS errors. A body can hold a hundred thousand: as objects they take ten times the memory
    and the time of their JSON, of which the rest is never read."""
    text = error.json(include_url=False, include_context=False, include_input=False)
    position = 1
    for _ in range(min(error.error_count(), MAX_FAULTS)):
        detail, position = _DECODER.raw_decode(text, position)
        yield detail
        position += 1


def _locate(kwargs: Mapping[str, Any], detail: Detail) -> tuple[str, Any]:
    """The place as `kwargs.items[0].name` and its value, without pydantic's own steps (a union's branch)."""
    option = "kwargs"
    value: Any = kwargs
    for step in detail["loc"]:
        if isinstance(step, int) and isinstance(value, list):
            option, value = f"{option}[{step}]", value[step]
        elif isinstance(value, Mapping) and step in value:
            option, value = f"{option}.{step}", value[step]
        elif detail["type"] == "missing" and step == detail["loc"][-1]:
            option, value = f"{option}.{step}", None
    return option, value


def _reason(detail: Detail, handler: str, known: Sequence[str]) -> str:
    match detail["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden" if len(detail["loc"]) == 1:
            return f"is not an argument of {handler} (it takes: {', '.join(known) or 'none'})"
    message: str = detail["msg"]
    return message.removeprefix("Value error, ").removeprefix("Input ")
