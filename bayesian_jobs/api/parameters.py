"""Query parameters: what one is, as documented, and the strict reading of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import falcon

from bayesian_jobs.domain.described import Described
from bayesian_jobs.errors import Fault, InvalidOptions

MAX_PARAMETERS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One query parameter or header; `schema` is the JSON schema of its value. With an `enum`, `chosen` checks it."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False
    example: str | None = None


def query(req: falcon.Request, parameters: Sequence[Parameter]) -> dict[str, str]:
    """The request's query, by parameter name.

    Raises InvalidOptions, with all that is wrong, for a name that is unknown or repeated, for a value with
    control characters and for a required parameter that is absent.
    """
    pairs = _pairs(req.query_string)
    known = {parameter.name for parameter in parameters}
    found: dict[str, str] = {}
    faults: list[Fault] = []
    for name, value in pairs:
        reason = _why_not(name, value, known, found)
        if reason:
            faults.append(Fault(name, value, reason))
        found[name] = value
    absent = [each.name for each in parameters if each.required and each.name not in found]
    faults += [Fault(name, None, "is required") for name in absent]
    if faults:
        raise InvalidOptions(faults)
    return found


def chosen(values: Mapping[str, str], parameter: Parameter) -> str | None:
    """The parameter's value, one of its `enum`, or its default. Raises InvalidOptions."""
    value = values.get(parameter.name)
    if value is None:
        default: str | None = parameter.schema.get("default")
        return default
    choices = parameter.schema["enum"]
    if value not in choices:
        raise InvalidOptions([Fault(parameter.name, value, f"must be one of {', '.join(choices)}")])
    return value


def state_change(values: Mapping[str, str]) -> dict[str, Any]:
    """The state to change to, with the reason and the end of a pause. Raises InvalidOptions."""
    if "state" not in values:
        raise InvalidOptions([Fault("state", None, "is required beside reason and until")])
    return {"state": values["state"], "reason": values.get("reason"), "until": values.get("until")}


def whole_number(values: Mapping[str, str], parameter: Parameter) -> int:
    """The parameter's value, within the bounds of its schema, or its default. Raises InvalidOptions."""
    text = values.get(parameter.name, str(parameter.schema["default"]))
    lowest, highest = parameter.schema["minimum"], parameter.schema["maximum"]
    if text.isascii() and text.isdigit() and len(text) < 10 and lowest <= int(text) <= highest:
        return int(text)
    raise InvalidOptions([Fault(parameter.name, text, f"must be a whole number from {lowest} to {highest}")])


def flag(values: Mapping[str, str], parameter: Parameter) -> bool:
    """The parameter's value, true or false, or its default. Raises InvalidOptions."""
    text = values.get(parameter.name)
    if text is None:
        return bool(parameter.schema["default"])
    if text not in ("true", "false"):
        raise InvalidOptions([Fault(parameter.name, text, "must be true or false")])
    return text == "true"


def has_control_characters(text: str) -> bool:
    return any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text)


def _pairs(query_string: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query_string, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError as error:
        raise falcon.HTTPBadRequest(description="The query is not UTF-8") from error
    except ValueError as error:
        raise falcon.HTTPBadRequest(description=f"The query cannot be read: {error}") from error


def _why_not(name: str, value: str, known: set[str], found: Mapping[str, str]) -> str | None:
    if name not in known:
        return f"is not a parameter of this request (it takes: {', '.join(sorted(known)) or 'none'})"
    if name in found:
        return "is given more than once"
    if has_control_characters(value):
        return "contains a control character"
    return None


def choice(values: Sequence[str], default: str | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "enum": list(values)}
    return schema if default is None else schema | {"default": default}


def whole(lowest: int, highest: int, default: int | None = None) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": lowest, "maximum": highest}
    return schema if default is None else schema | {"default": default}


def told(values: type[Described]) -> str:
    return "; ".join(f"`{value}`: {value.prose}" for value in values)


def text(format: str) -> dict[str, Any]:
    """Text of which no pattern could say all: the format's name tells it from other text."""
    return {"type": "string", "format": format}


PRINTABLE: Mapping[str, Any] = {"type": "string", "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}
