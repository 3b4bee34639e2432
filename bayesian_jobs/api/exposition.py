"""Metrics as Prometheus reads them: its text format, version 0.0.4."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from bayesian_jobs.domain.metrics import Gauge

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_IN_HELP: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_LABEL: Final = _IN_HELP | str.maketrans({'"': r"\""})


def exposition(gauges: Iterable[Gauge]) -> str:
    return "".join(f"{line}\n" for gauge in gauges for line in _lines(gauge))


def _lines(gauge: Gauge) -> Iterator[str]:
    yield f"# HELP {gauge.name} {gauge.meaning.translate(_IN_HELP)}"
    yield f"# TYPE {gauge.name} gauge"
    for sample in gauge.samples:
        yield f"{gauge.name}{_labels(sample.labels)} {float(sample.value)!r}"


def _labels(labels: Mapping[str, str]) -> str:
    told = ",".join(f'{name}="{value.translate(_IN_LABEL)}"' for name, value in labels.items())
    return f"{{{told}}}" if told else ""
