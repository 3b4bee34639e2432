"""Run the benchmarks, print their tables and keep their results.

./dev bench                     every part that measures this project
./dev bench dispatch lateness   these parts
./dev bench peers               this project beside other schedulers and queues, each in an environment made on demand
"""

import argparse
import importlib
import os
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import harness, machine, report

PARTS = ("dispatch", "execute", "lateness", "idle", "recovery")
BESIDE_PEERS = ("dispatch-peers", "execute-peers", "lateness-peers", "burst-peers")
HELP = f"one of {', '.join(PARTS)} (all of them if not given), {', '.join(BESIDE_PEERS)} (all of them: peers)"
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    arguments = parser().parse_args()
    for name in chosen(arguments.parts):
        run(name, arguments.repetitions, arguments.results)


def parser() -> argparse.ArgumentParser:
    one = argparse.ArgumentParser(
        prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    one.add_argument("parts", nargs="*", metavar="part", help=HELP)
    one.add_argument("--repetitions", type=int, metavar="N", help="how often each measurement is repeated")
    one.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where the JSON files are kept")
    return one


def chosen(names: list[str]) -> list[str]:
    """The parts that these words mean."""
    parts = [part for name in names for part in (BESIDE_PEERS if name == "peers" else (name,))]
    for part in parts:
        if part not in PARTS + BESIDE_PEERS:
            raise SystemExit(f"There is no part {part!r}; there are {', '.join((*PARTS, *BESIDE_PEERS))}, peers")
    return parts or list(PARTS)


def run(name: str, repetitions: int | None, results: Path) -> None:
    part = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
    times = repetitions or part.REPETITIONS
    began, load = datetime.now(UTC), os.getloadavg()
    with harness.server(part.PRELOAD) as server:
        described = machine.describe(server, load)
        others = machine.OtherWork(server)
        table = part.measure(server, times)
        described["other work meanwhile"] = others.share()
    result = report.Result(
        part=name,
        title=part.TITLE,
        began=began,
        repetitions=times,
        machine=described,
        figures=table.figures,
        versions=table.versions,
        missing=table.missing,
    )
    print(report.as_text(result), flush=True)
    report.keep(result, results)


if __name__ == "__main__":
    main()
