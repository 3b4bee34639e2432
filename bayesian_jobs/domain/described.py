"""Enumerations whose members say what they mean."""

from enum import StrEnum
from typing import Self


class Described(StrEnum):
    """A text of a fixed set, as it is stored and spoken; `prose` says to users what it means."""

    prose: str

    def __new__(cls, value: str, prose: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.prose = prose
        return member
