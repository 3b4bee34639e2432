"""How far a run has come, as its handler tells it."""

import math
from dataclasses import dataclass
from numbers import Integral, Real

from bayesian_jobs.domain.storable import storable_text

LONGEST_TEXT = 1000
LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total`, in a unit of the handler's own: finite, of less than 64 bits. `text` is storable."""

    done: int | float
    total: int | float | None
    text: str | None

    @classmethod
    def of(cls, done: object, total: object, text: object) -> "Progress":
        """A text is cut at 1000 bytes. Raises ValueError for what is no number, or no text."""
        if text is not None and not isinstance(text, str):
            raise ValueError(f"text: {text!r} is no text")
        return cls(
            number("done", done),
            None if total is None else number("total", total),
            None if text is None else storable_text(text, LONGEST_TEXT),
        )


def number(name: str, value: object) -> int | float:
    """The value as a plain number, whatever library it comes from. Raises ValueError."""
    if isinstance(value, Real):
        plain = int(value) if isinstance(value, Integral) else float(value)
        if math.isfinite(plain) and abs(plain) < LARGEST:
            return plain
    raise ValueError(f"{name}: {value!r} is no number that can be kept")
