"""Run the benchmarks, print their tables and keep their results.

./dev bench                     every part
./dev bench dispatch lateness   these parts
"""

import argparse
import importlib
import os
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import harness, machine, report

PARTS = ("dispatch", "execute", "lateness", "idle", "recovery")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    arguments = parser().parse_args()
    for name in arguments.parts or PARTS:
        run(name, arguments.repetitions, arguments.results)


def parser() -> argparse.ArgumentParser:
    one = argparse.ArgumentParser(
        prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    one.add_argument("parts", nargs="*", metavar="part", help=f"one of {', '.join(PARTS)}; all of them if not given")
    one.add_argument("--repetitions", type=int, metavar="N", help="how often each measurement is repeated")
    one.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where the JSON files are kept")
    return one


def run(name: str, repetitions: int | None, results: Path) -> None:
    if name not in PARTS:
        raise SystemExit(f"There is no part {name!r}; there are {', '.join(PARTS)}")
    part = importlib.import_module(f"benchmarks.{name}")
    times = repetitions or part.REPETITIONS
    began, load = datetime.now(UTC), os.getloadavg()
    with harness.server(part.PRELOAD) as server:
        described = machine.describe(server, load)
        others = machine.OtherWork(server)
        table = part.measure(server, times)
        described["other work meanwhile"] = others.share()
    result = report.Result(
        part=name, title=part.TITLE, began=began, repetitions=times, machine=described, figures=table.figures
    )
    print(report.as_text(result), flush=True)
    report.keep(result, results)


if __name__ == "__main__":
    main()
