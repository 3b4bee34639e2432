"""Reading options one after another."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from bayesian_jobs.domain.job import parse_tags
from bayesian_jobs.errors import Fault, InvalidOptions, InvalidValue

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class Reader:
    """Reads option after option, and collects what is wrong with them."""

    def __init__(self, options: Mapping[str, Any], known: Sequence[str]) -> None:
        self.options = {name: value for name, value in options.items() if value is not None}
        self.faults = [
            Fault(name, options[name], f"is not an option of a job (there are: {', '.join(known)})")
            for name in options
            if name not in known
        ]

    def text(self, option: str, parse: Callable[[str], T]) -> T | None:
        """What `parse` makes of the option's text; None if the option is absent, or, with a fault, unusable."""
        value = self.options.get(option)
        if value is None:
            return None
        if not isinstance(value, str):
            self.fault(option, "must be text")
            return None
        try:
            return parse(value)
        except InvalidValue as error:
            self.fault(option, str(error))
        except InvalidOptions as error:
            self.faults.extend(error.faults)
        return None

    def required(self, option: str, parse: Callable[[str], T]) -> T | None:
        if option not in self.options:
            self.fault(option, "is required")
        return self.text(option, parse)

    def number(self, option: str, lowest: int, highest: int, default: int | None = None) -> int | None:
        """A whole number, which in JSON may be 5.0, or a text of one."""
        value = self.options.get(option)
        if value is None:
            return default
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
            return value
        self.fault(option, f"must be a whole number from {lowest} to {highest}")
        return None

    def choice(self, option: str, values: type[E]) -> E | None:
        """One of the values of an enumeration."""
        return self.text(option, lambda text: member_of(values, text))

    def tags(self) -> tuple[str, ...]:
        """A list of texts, or one text in which commas separate them; the empty text: none."""
        value = self.options.get("tags", [])
        if isinstance(value, str):
            value = [tag.strip() for tag in value.split(",")] if value else []
        if not isinstance(value, list):
            self.fault("tags", "must be a list of texts")
            return ()
        try:
            return parse_tags(value)
        except InvalidValue as error:
            self.fault("tags", str(error))
            return ()

    def kwargs(self) -> dict[str, Any] | None:
        value = self.options.get("kwargs", {})
        if isinstance(value, dict):
            return value
        self.fault("kwargs", "must be an object: the handler's keyword arguments")
        return None

    def fault(self, option: str, reason: str) -> None:
        self.faults.append(Fault(option, self.options.get(option), reason))

    def refuse(self) -> None:
        """Raises InvalidOptions if anything was wrong."""
        if self.faults:
            raise InvalidOptions(self.faults)


def member_of(values: type[E], text: str) -> E:
    """Raises InvalidValue."""
    if text not in list(values):
        raise InvalidValue(f"must be one of {', '.join(values)}")
    return values(text)
