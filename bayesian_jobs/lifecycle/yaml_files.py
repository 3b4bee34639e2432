"""Reading a YAML file, strictly: what cannot be meant is told with its line and key, all of it at once."""

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bayesian_jobs.errors import shortened

LARGEST_FILE = 128 * 1024
MOST_FLAWS = 20
LONGEST_KEY = 200
INDEX = re.compile(r"\[\d+\]\Z")


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong with a file (or a directory): where, as far as that is known, and why."""

    file: str
    reason: str
    line: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        """Without the file; one line, whatever the key is."""
        line = [f"line {self.line}"] if self.line else []
        key = [shown(self.key)] if self.key else []
        return ": ".join([*line, *key, self.reason])


def shown(name: str) -> str:
    """A key or the name of a file as a line of text may hold it."""
    return name if name.isprintable() and len(name) <= LONGEST_KEY else shortened(name)


class UnusableFile(Exception):
    """A file that cannot be used, and everything that is wrong with it."""

    def __init__(self, *flaws: Flaw) -> None:
        super().__init__("; ".join(map(str, flaws)))
        self.flaws = flaws


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds, and the line of each place in it: `kwargs`, `kwargs.items[0].name` …"""

    value: Any
    lines: Mapping[str, int]

    def line_of(self, place: str) -> int:
        """The line of a place or, if the document has no such place, of what it would lie in; the first is 1."""
        while place not in self.lines:
            place = INDEX.sub("", place) if INDEX.search(place) else place.rpartition(".")[0]
        return self.lines[place]


class StrictLoader(yaml.SafeLoader):
    """Safe YAML without aliases, which can blow up a small file, and without tags."""

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise error_at(event.start_mark, "aliases are not allowed")
        if getattr(event, "tag", None) is not None:
            tag = shortened(event.tag)
            raise error_at(event.start_mark, f"the tag {tag} is not allowed: put in quotes what is to be text")
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise error_at(node.start_mark, "a number of so many digits is not allowed") from error


def error_at(mark: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


# Times and durations in a file stay text, as everywhere else: one parser reads all of them. YAML 1.1 would make a date
# of one and a number to the base of 60 (5:00:00 = 18000) of the other. "<<" and "=" are text as well.
NUMBER = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(0|[1-9][0-9]*)"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    ),
}
TEXT = "tag:yaml.org,2002:str"
BOOLEAN = "tag:yaml.org,2002:bool"
KNOWN = {*NUMBER, BOOLEAN, "tag:yaml.org,2002:null"}
StrictLoader.yaml_implicit_resolvers = {
    first: [
        (tag, re.compile(f"(?:{NUMBER[tag].pattern})$") if tag in NUMBER else regexp)
        for tag, regexp in resolvers
        if tag in KNOWN
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path, largest: int = LARGEST_FILE) -> Document:
    """The one document of a regular file of at most `largest` bytes of UTF-8. Raises UnusableFile."""
    text = read_text(path, largest)
    loader = StrictLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return Document(None, {"": 1})
        lines = {"": root.start_mark.line + 1}
        if flaws := [Flaw(path.name, *flaw) for flaw in walk(root, "", lines)]:
            raise UnusableFile(*at_most(flaws))
        return Document(loader.construct_document(root), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(" ".join(part.split()) for part in (error.context, error.problem) if part)
        raise UnusableFile(Flaw(path.name, reason, mark.line + 1 if mark else None)) from error
    except RecursionError as error:
        raise UnusableFile(Flaw(path.name, "is nested too deeply")) from error
    finally:
        loader.dispose()


def read_text(path: Path, largest: int) -> str:
    """Raises UnusableFile, and never waits: a pipe, for one, is not a regular file."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnusableFile(Flaw(path.name, "is not a regular file"))
            content = file.read(largest + 1)
    except OSError as error:
        raise UnusableFile(Flaw(path.name, f"cannot be read: {error.strerror}")) from error
    if len(content) > largest:
        raise UnusableFile(Flaw(path.name, f"is larger than {largest} bytes"))
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnusableFile(Flaw(path.name, "is not text in UTF-8", line)) from error
    if unprintable := yaml.reader.Reader.NON_PRINTABLE.search(text):
        reason = f"holds the character U+{ord(unprintable[0]):04X}, which YAML does not allow"
        raise UnusableFile(Flaw(path.name, reason, text.count("\n", 0, unprintable.start()) + 1))
    return text


def at_most(flaws: Sequence[Flaw]) -> Sequence[Flaw]:
    """As many flaws as a reader follows; the last one counts those that are left out."""
    left = len(flaws) - MOST_FLAWS
    return [*flaws[:MOST_FLAWS], Flaw(flaws[0].file, f"and {left} more")] if left > 0 else flaws


Place = tuple[str, int, str | None]
"""A reason, and the line and the key that it is about."""


def walk(node: yaml.Node, place: str, lines: dict[str, int]) -> Iterator[Place]:
    """Note the line of each place below the node, and yield what cannot be meant there."""
    if isinstance(node, yaml.MappingNode):
        yield from walk_mapping(node, place, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            below = f"{place}[{index}]"
            lines[below] = value.start_mark.line + 1
            yield from walk(value, below, lines)
    elif node.tag == BOOLEAN and node.value.lower() not in ("true", "false"):
        reason = f"{node.value}: is text to some and true or false to others: write true or false, or put it in quotes"
        yield reason, node.start_mark.line + 1, place or None


def walk_mapping(node: yaml.MappingNode, place: str, lines: dict[str, int]) -> Iterator[Place]:
    seen = set()
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            yield "a key is not text", line, place or None
        elif key.tag != TEXT:
            yield f"the key {shortened(key.value)} is not text: put it in quotes", line, place or None
        elif key.value in seen:
            yield f"the key {shortened(key.value)} stands twice", line, place or None
        else:
            seen.add(key.value)
            below = f"{place}.{key.value}" if place else key.value
            lines[below] = line
            yield from walk(value, below, lines)
