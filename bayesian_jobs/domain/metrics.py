"""Metrics: what is measured of the service at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    value: float
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric, named as Prometheus has it (base units, `_seconds`), and what it means, in one line."""

    name: str
    meaning: str
    samples: Sequence[Sample]


def gauge(name: str, meaning: str, value: float, **labels: str) -> Gauge:
    """A metric with a single sample."""
    return Gauge(name, meaning, [Sample(value, labels)])


def gauges(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Gauge:
    """A metric with a sample for each value of one label."""
    return Gauge(name, meaning, [Sample(value, {label: key}) for key, value in values.items()])
