"""Reading a job's options from a YAML file, strictly: what cannot be meant is reported with its line."""

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

LARGEST_FILE = 128 * 1024


class UnusableFile(Exception):
    """A file that holds no job: the reason, and line and key if known."""

    def __init__(self, reason: str, *, line: int | None = None, key: str | None = None) -> None:
        place = [f"line {line}"] if line else []
        super().__init__(": ".join([*place, *([key] if key else []), reason]))


class StrictLoader(yaml.SafeLoader):
    """Safe YAML without aliases, which can blow up a small file, and without keys that stand twice."""

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                problem = f"the key {key_node.value!r} stands twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


# Times and durations in a file stay text, as everywhere else: one parser reads all of them. YAML 1.1 would make a date
# of one and a number to the base of 60 (5:00:00 = 18000) of the other.
NUMBER = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(0|[1-9][0-9]*)"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    ),
}
StrictLoader.yaml_implicit_resolvers = {
    first: [
        (tag, re.compile(f"(?:{NUMBER[tag].pattern})$") if tag in NUMBER else regexp)
        for tag, regexp in resolvers
        if tag != "tag:yaml.org,2002:timestamp"
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_options(path: Path, required: Sequence[str]) -> tuple[dict[str, Any], dict[str, int]]:
    """The mapping that the file holds, and the line of each of its keys. Raises UnusableFile."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UnusableFile(f"is larger than {LARGEST_FILE} bytes")
        text = path.read_text("utf-8")
        options = yaml.load(text, StrictLoader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise UnusableFile(str(error.problem), line=line) from error
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise UnusableFile(f"cannot be read: {error}") from error
    if not isinstance(options, dict):
        raise UnusableFile("must hold the options of one job, as key: value", line=1)
    for key in required:
        if key not in options:
            raise UnusableFile("is required in a default-job file", key=key)
    return options, lines_of(text)


def lines_of(text: str) -> dict[str, int]:
    """The line of each key of the mapping that the text holds, the first line being 1."""
    node = yaml.compose(text, StrictLoader)
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return {key.value: key.start_mark.line + 1 for key, _ in pairs}
