"""Reads a handler's docstrings: one summary line, the prose, and what `Args:` says of each argument."""

import inspect
import re
from dataclasses import dataclass, field

_SECTION = re.compile(r"^(Args|Arguments|Returns|Return|Raises|Yields|Example|Examples|Note|Notes):\s*$")
_ARGUMENT = re.compile(r"^\*{0,2}(?P<name>\w+)(?:\s*\([^)]*\))?\s*:\s*(?P<text>.*)$")


@dataclass(frozen=True, slots=True)
class Docs:
    """What one docstring says; `description` is the prose after the summary, without any section."""

    summary: str = ""
    description: str = ""
    arguments: dict[str, str] = field(default_factory=dict)


def read(docstring: str | None) -> Docs:
    """Split a docstring (Google style sections) into its parts; an absent one gives empty parts."""
    prose: list[str] = []
    arguments: list[str] = []
    target: list[str] | None = prose
    for line in inspect.cleandoc(docstring or "").splitlines():
        section = _SECTION.match(line)
        if section:
            target = arguments if section[1].startswith("Arg") else None
        elif target is not None:
            target.append(line)
    summary, _, description = "\n".join(prose).strip().partition("\n\n")
    return Docs(" ".join(summary.split()), description.strip(), _arguments(arguments))


def _arguments(lines: list[str]) -> dict[str, str]:
    """Each argument's text; the lines indented deeper than its name continue it."""
    found: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc("\n".join(["", *lines])).splitlines():
        heading = None if line.startswith(" ") else _ARGUMENT.match(line)
        if heading:
            name = heading["name"]
            found[name] = heading["text"].strip()
        elif name:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found
