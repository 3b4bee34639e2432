"""Makes any text, exception or value something that PostgreSQL can keep.

Nothing here ever raises: it runs while a failure is being recorded, so that whatever a user's `__str__` or
`__repr__` raises, SystemExit included, is answered with a note in the text.
"""

import math
import traceback
from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

LONGEST_LINE: Final = 16_384
LONGEST_TRACEBACK: Final = 65_536
LONGEST_JSON_TEXT: Final = 1_000_000
LONGEST_REPR: Final = 1_000
DEEPEST: Final = 64
MOST_VALUES: Final = 100_000
LONGEST_CHAIN: Final = 8
MOST_FRAMES: Final = 50

_UNSTORABLE: Final = {0: "\u2400"} | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
_CAUSED: Final = "The above exception was the direct cause of the following exception:"
_MEANWHILE: Final = "During handling of the above exception, another exception occurred:"
_PLAIN_TEXT_TYPES: Final = (Decimal, UUID, PurePath)


def storable_text(value: str, limit: int = 65_536) -> str:
    """The text with NUL as "␀" and lone surrogates as "�", at most `limit` bytes of UTF-8 (limit >= 100).

    A longer text keeps its beginning and its end, with a note in the middle.
    """
    text = str.__str__(value)
    if len(text) <= limit:
        clean = text.translate(_UNSTORABLE)
        if len(clean.encode()) <= limit:
            return clean
    # What lies further inside than `limit` characters is left out anyway: 100 MB are not looked at.
    room = (limit - 50) // 2
    head = text[:limit].translate(_UNSTORABLE).encode()[:room].decode(errors="ignore")
    tail = text[-limit:].translate(_UNSTORABLE).encode()[-room:].decode(errors="ignore")
    return f"{head}\n… {len(text) - len(head) - len(tail)} characters left out …\n{tail}"


def describe_exception(exc: BaseException) -> tuple[str, str]:
    """One line "Type: message" (at most 16 kB) and the traceback (at most 64 kB), both storable.

    Causes and contexts are part of the traceback: the last eight exceptions, each with its innermost 50
    frames.
    """
    headline = _headline(exc)  # Asked for once: a `__str__` that was interrupted by the time limit would not be again.
    line = " ".join(storable_text(headline, LONGEST_LINE).split())
    try:
        text = "".join(_chain(exc, headline))
    except BaseException as error:
        text = f"{line}\n(the traceback cannot be shown: {_type_name(error)})"
    return line, storable_text(text, LONGEST_TRACEBACK)


def storable_json(value: Any) -> Any:
    """The value as JSON that JSONB takes.

    NaN, infinities and integers beyond 64 bits become texts, keys become texts, what JSON does not know
    becomes its repr. What is nested deeper than 64 levels, refers to itself or goes beyond 100,000 values
    becomes a note, and a text beyond 1 MB is cut.
    """
    return _Cleaner().clean(value, ())


class _Cleaner:
    """One conversion: counts the values, so that shared references cannot blow it up."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def clean(self, value: Any, parents: tuple[int, ...]) -> Any:
        self._left -= 1
        if self._left < 0:
            return "… (too many values)"
        try:
            return self._cleaned(value, parents)
        except BaseException:
            return _safe_repr(value)

    def _cleaned(self, value: Any, parents: tuple[int, ...]) -> Any:
        if isinstance(value, dict | list | tuple | set | frozenset):
            return self._container(value, parents)
        return _scalar(value)

    def _container(self, value: Any, parents: tuple[int, ...]) -> Any:
        if id(value) in parents:
            return "… (refers to itself)"
        if len(parents) >= DEEPEST:
            return f"… (nested deeper than {DEEPEST} levels)"
        below = (*parents, id(value))
        if isinstance(value, dict):
            return self._object(value, below)
        return [self.clean(item, below) for item in self._affordable(iter(value))]

    def _object(self, value: dict[Any, Any], below: tuple[int, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in self._affordable(iter(dict.items(value))):
            text = _key(key)
            result[f"{text} #{len(result)}" if text in result else text] = self.clean(item, below)
        return result

    def _affordable(self, items: Iterator[Any]) -> Iterator[Any]:
        """The items until the budget is used up, and one more, which leaves the note."""
        for item in items:
            yield item
            if self._left < 0:
                return


def _scalar(value: Any) -> Any:
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return storable_text(value, LONGEST_JSON_TEXT)
    if isinstance(value, int):
        return _integer(int.__int__(value))
    if isinstance(value, float):
        return _number(float.__float__(value))
    if isinstance(value, date | time):
        return storable_text(value.isoformat(), LONGEST_REPR)
    if isinstance(value, _PLAIN_TEXT_TYPES):
        return storable_text(str(value), LONGEST_JSON_TEXT)
    return _safe_repr(value)


def _integer(value: int) -> int | str:
    if -(2**63) <= value < 2**63:
        return value
    # Python refuses to write more than 4300 decimal digits.
    return str(value) if value.bit_length() < 10_000 else storable_text(hex(value), LONGEST_JSON_TEXT)


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _key(key: Any) -> str:
    if isinstance(key, str):
        return storable_text(key, LONGEST_JSON_TEXT)
    try:
        return storable_text(str(key), LONGEST_REPR)
    except BaseException:
        return _safe_repr(key)


def _safe_repr(value: Any) -> str:
    try:
        return storable_text(repr(value), LONGEST_REPR)
    except BaseException:
        return f"<{_type_name(value)} without a usable repr>"


def _type_name(value: object) -> str:
    # The descriptors of `type` itself, since a metaclass may answer `cls.__qualname__` with anything.
    cls = type(value)
    name: str = type.__dict__["__qualname__"].__get__(cls)
    module = type.__dict__["__dict__"].__get__(cls).get("__module__")
    known = isinstance(module, str) and module != "builtins"
    return storable_text(f"{module}.{name}" if known else name, LONGEST_REPR)


def _headline(exc: BaseException) -> str:
    try:
        message = storable_text(str(exc), LONGEST_LINE)
    except BaseException as error:
        message = f"(the message cannot be shown: {_type_name(error)})"
    return f"{_type_name(exc)}: {message}" if message else _type_name(exc)


def _chain(exc: BaseException, headline: str) -> Iterator[str]:
    """The parts of the traceback, the first exception of the chain first."""
    links: list[tuple[BaseException, str]] = [(exc, "")]
    while len(links) < LONGEST_CHAIN:
        newest = links[-1][0]
        if newest.__cause__ is not None:
            older, link = newest.__cause__, _CAUSED
        elif newest.__context__ is not None and not newest.__suppress_context__:
            older, link = newest.__context__, _MEANWHILE
        else:
            break
        if any(older is known for known, _ in links):
            break
        links.append((older, link))
    for index in range(len(links) - 1, -1, -1):
        one = links[index][0]
        yield from _one_traceback(one, headline if one is exc else _headline(one))
        if index:
            yield f"\n{links[index][1]}\n\n"


def _one_traceback(exc: BaseException, headline: str) -> Iterator[str]:
    if exc.__traceback__ is not None:
        yield "Traceback (most recent call last):\n"
        frames = traceback.extract_tb(exc.__traceback__, limit=-MOST_FRAMES)
        yield from (storable_text(frame, LONGEST_LINE) for frame in traceback.format_list(frames))
    yield f"{headline}\n"
    for note in getattr(exc, "__notes__", ())[:LONGEST_CHAIN]:
        yield f"{_safe_repr(note) if not isinstance(note, str) else storable_text(note, LONGEST_LINE)}\n"
    if isinstance(exc, BaseExceptionGroup):
        for number, inner in enumerate(exc.exceptions[:LONGEST_CHAIN], 1):
            yield f"  {number}. of {len(exc.exceptions)}: {_headline(inner)}\n"
