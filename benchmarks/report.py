"""Figures: what was measured, how they spread, and how they are shown and kept."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(slots=True)
class Figure:
    """One measured quantity: a value for each repetition."""

    name: str
    unit: str
    values: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "median": significant(median(self.values)),
            "lowest": significant(min(self.values)),
            "highest": significant(max(self.values)),
            "values": [significant(value) for value in self.values],
        }


class Table:
    """The figures of one part, in the order in which they were first noted."""

    def __init__(self) -> None:
        self._figures: dict[str, Figure] = {}
        self.versions: dict[str, str] = {}
        """Of each peer that was measured."""
        self.missing: dict[str, str] = {}
        """Why a peer was not measured."""

    @property
    def figures(self) -> list[Figure]:
        return list(self._figures.values())

    def note(self, name: str, unit: str, value: float) -> None:
        """Add the value of one repetition."""
        self._figures.setdefault(name, Figure(name, unit)).values.append(value)

    def leave_out(self, name: str, reason: str) -> None:
        """A peer that cannot be measured: what was noted of it in earlier repetitions does not count either."""
        self.missing[name] = reason
        self.versions.pop(name, None)
        for figure in [each for each in self._figures if each == name or each.startswith(f"{name}: ")]:
            del self._figures[figure]

    def ratio(self, of: str, to: str) -> None:
        """Compare two quantities repetition by repetition, so that what slowed the machine down slowed both."""
        pairs = zip(self._figures[of].values, self._figures[to].values, strict=True)
        name = f"{of} ÷ {to}"
        self._figures[name] = Figure(name, "ratio", [one / other for one, other in pairs])


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One part of the benchmarks, run once."""

    part: str
    title: str
    began: datetime
    repetitions: int
    machine: Mapping[str, Any]
    figures: Sequence[Figure]
    versions: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


def as_text(result: Result) -> str:
    """The table, and the machine below it."""
    rows = [("", "median", "lowest", "highest", "unit")]
    for figure in result.figures:
        values = (median(figure.values), min(figure.values), max(figure.values))
        rows.append((figure.name, *(shown(value) for value in values), figure.unit))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        f"{row[0]:<{widths[0]}}  " + "  ".join(f"{row[n]:>{widths[n]}}" for n in (1, 2, 3)) + f"  {row[4]}"
        for row in rows
    ]
    machine = "; ".join(f"{name} {value}" for name, value in result.machine.items())
    versions = [f"{name}: {version}" for name, version in result.versions.items()]
    missing = [f"not measured: {name}: {reason}" for name, reason in result.missing.items()]
    return "\n".join([f"\n{result.title} ({result.repetitions} repetitions)", *lines, *missing, *versions, machine])


def keep(result: Result, directory: Path) -> Path:
    """Write <date>-<part>.json; a second run on one day replaces the first. Returns the file."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{result.began:%Y-%m-%d}-{result.part}.json"
    content = {
        "part": result.part,
        "title": result.title,
        "began": result.began.isoformat(timespec="seconds"),
        "repetitions": result.repetitions,
        "machine": result.machine,
        "peers": result.versions,
        "not measured": result.missing,
        "figures": [figure.as_json() for figure in result.figures],
    }
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return file


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def significant(value: float) -> float:
    """Four significant digits: more than any of these measurements is good for."""
    return float(f"{value:.4g}")


def shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{significant(value):g}"
