"""The text format of Prometheus: what a name holds stays in its label, and every line is one."""

from bayesian_jobs.api.exposition import exposition
from bayesian_jobs.domain.metrics import Gauge, Sample, gauge, gauges


def test_metrics_are_told_with_what_they_mean_and_are() -> None:
    told = exposition([gauge("a_seconds", "How long", 1.5), gauges("b", "How many", "queue", {"x": 2, "y": 0})])

    assert told == (
        "# HELP a_seconds How long\n# TYPE a_seconds gauge\na_seconds 1.5\n"
        '# HELP b How many\n# TYPE b gauge\nb{queue="x"} 2.0\nb{queue="y"} 0.0\n'
    )


def test_no_label_ends_where_it_should_not() -> None:
    hostile = '"} 1\nforged 2\\'
    told = exposition([Gauge("a", "One\\two\nthree", [Sample(1, {"one": hostile, "two": "plain"})])])

    assert told.splitlines() == [
        r"# HELP a One\\two\nthree",
        "# TYPE a gauge",
        r'a{one="\"} 1\nforged 2\\",two="plain"} 1.0',
    ]
