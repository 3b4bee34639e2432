"""./dev torture: let the service run under faults drawn from a seed, and check what came of it."""

import argparse
import pickle
import sys
import tempfile
import time
from pathlib import Path

from rig import recovery
from rig.fleet import Size
from rig.report import event_lines, text
from rig.servers import BROKERS
from rig.torture import Order, torture


def main() -> int:
    arguments = parser().parse_args()
    place = Path(arguments.keep or tempfile.mkdtemp(prefix="bayesian-jobs-torture-"))
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o755)
    if arguments.recovery:
        return measure_recovery(place, arguments)
    size = Size(
        arguments.schedulers,
        arguments.workers,
        arguments.apis,
        transport=arguments.transport,
        pooled=arguments.pooled,
    )
    order = Order(arguments.seed, arguments.minutes * 60, arguments.jobs, size)
    print(f"torture with --seed {order.seed}; logs and evidence in {place}", flush=True)
    outcome = torture(order, place)
    (place / "events.log").write_text("\n".join(event_lines(outcome.history, outcome.history.events)) + "\n")
    (place / "history.pickle").write_bytes(pickle.dumps(outcome))
    (place / "report.txt").write_text(report := text(outcome) + "\n")
    sys.stdout.write(report)
    return 0 if outcome.held else 1


def measure_recovery(place: Path, arguments: argparse.Namespace) -> int:
    transport, pooled = arguments.transport, arguments.pooled
    size = Size(schedulers=2, workers=2, apis=0, transport=transport, pooled=pooled)
    measured = []
    for each in recovery.measure(place, size, arguments.recovery, arguments.seed):
        print(f"{each.fault}: {' '.join(f'{seconds:.2f}' for seconds in each.seconds)}", flush=True)
        measured.append(each)
    print(f"messages carried by {transport}" + (", behind PgBouncer in transaction mode" if pooled else ""))
    print("\n".join(recovery.table(measured)))
    return 0


def parser() -> argparse.ArgumentParser:
    one = argparse.ArgumentParser(prog="./dev torture", description=__doc__)
    one.add_argument("--minutes", type=positive, default=2.0, help="of faults (default: 2)")
    one.add_argument("--seed", type=int, default=int(time.time()), help="the same seed makes the same plan of faults")
    one.add_argument("--jobs", type=int, default=500, help="how many (default: 500)")
    one.add_argument("--schedulers", type=int, default=3)
    one.add_argument("--workers", type=int, default=2)
    one.add_argument("--apis", type=int, default=1)
    one.add_argument(
        "--transport", choices=("postgres", *BROKERS), default="postgres", help="what carries messages to the workers"
    )
    one.add_argument("--pooled", action="store_true", help="behind a PgBouncer in transaction mode")
    one.add_argument(
        "--recovery", metavar="N", type=int, help="instead: inflict single faults N times each, and measure"
    )
    one.add_argument("--keep", metavar="DIR", help="where logs and evidence are kept (default: a new one in /tmp)")
    return one


def positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
