"""Progress is numbers and a text that can be kept, whatever a handler hands over."""

from decimal import Decimal
from fractions import Fraction

import pytest

from bayesian_jobs.domain.progress import Progress


def test_numbers_become_plain_ones() -> None:
    assert Progress.of(1, 2, None) == Progress(1, 2, None)
    assert Progress.of(0.5, None, "half") == Progress(0.5, None, "half")
    assert Progress.of(Fraction(1, 4), True, None) == Progress(0.25, 1, None)


def test_a_text_is_made_storable_and_short() -> None:
    text = Progress.of(1, None, "nul \0 and \ud800 " + "x" * 10**6).text
    assert text is not None
    assert text.startswith("nul ␀ and � ")
    assert len(text.encode()) <= 1000


@pytest.mark.parametrize(
    ("done", "total", "text", "named"),
    [
        ("3", None, None, "done"),
        (None, None, None, "done"),
        (float("nan"), None, None, "done"),
        (1, float("inf"), None, "total"),
        (2**63, None, None, "done"),
        (Decimal(1), None, None, "done"),
        (1, None, 7, "text"),
    ],
)
def test_what_cannot_be_kept_is_named(done: object, total: object, text: object, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        Progress.of(done, total, text)
