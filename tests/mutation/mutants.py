"""The mutants: each takes one safety out of the product, and names the tests that must fail without it."""

import ast
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LISTS = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """`old` stands once in `file` and becomes `new`; then one of `tests`, each `file::name`, must fail."""

    name: str
    safety: str
    prevents: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def mutated(self, source: str) -> str:
        """Raises ValueError when the source has changed so that the mutant must be written anew."""
        if source.count(self.old) != 1:
            raise ValueError(f"{self.name}: its text stands {source.count(self.old)} times in {self.file}")
        return source.replace(self.old, self.new)


def read_all() -> list[Mutant]:
    """Those of every list, in the order of the lists' names."""
    return [
        Mutant(name=name, **{**fields, "tests": tuple(fields["tests"])})
        for path in sorted(LISTS.glob("*.toml"))
        for name, fields in tomllib.loads(path.read_text()).items()
    ]


def missing_tests(mutant: Mutant) -> Iterator[str]:
    """Those that the mutant names and that there are not."""
    for test in mutant.tests:
        file, _, name = test.partition("::")
        path = ROOT / file
        if not path.exists() or name not in functions(path):
            yield test


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def table(mutants: Iterable[Mutant]) -> str:
    """As Markdown."""
    rows = [f"| {each.safety} | {each.prevents} | {named(each.tests)} |" for each in mutants]
    return "\n".join(["| safety | without it | shown by |", "|---|---|---|", *rows]) + "\n"


def named(tests: Iterable[str]) -> str:
    return ", ".join(f"`{test.partition('::')[2]}`" for test in tests)
