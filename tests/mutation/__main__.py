"""Take the safeties out of the product one by one, in a copy of it, and see that a test fails without each.

./dev mutate                  all of them
./dev mutate NAME ...         these
./dev mutate --table          the table of docs/reference/safeties.md
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mutation.mutants import ROOT, Mutant, read_all, table

PATIENCE = 240
"""Seconds after which tests that hang have failed."""


def main() -> int:
    arguments = parser().parse_args()
    mutants = read_all()
    if arguments.table:
        print(table(mutants), end="")
        return 0
    if unknown := set(arguments.names) - {each.name for each in mutants}:
        print(f"There is no mutant {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    chosen = [each for each in mutants if not arguments.names or each.name in arguments.names]
    with tempfile.TemporaryDirectory(prefix="mutation-", dir=arguments.place) as place:
        copy = Path(place) / "checkout"
        copy_checkout(copy)
        survivors = [each.name for each in chosen if not is_killed(each, copy)]
    print(f"{len(chosen)} safeties taken out, {len(survivors)} missed by nobody: {', '.join(survivors) or 'none'}")
    return 1 if survivors else 0


def parser() -> argparse.ArgumentParser:
    one = argparse.ArgumentParser(
        prog="./dev mutate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    one.add_argument("names", nargs="*", metavar="NAME", help="a mutant of tests/mutation/*.toml")
    one.add_argument("--table", action="store_true", help="print the table of safeties, and run nothing")
    one.add_argument("--place", type=Path, metavar="DIR", help="where the copy is made; omitted: the usual place")
    return one


def copy_checkout(copy: Path) -> None:
    """What git knows of, and what is not committed yet; PostgreSQL's account may have to pass through."""
    copy.parent.chmod(0o755)
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in names.split("\0"):
        source, target = ROOT / name, copy / name
        if name and source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)


def is_killed(mutant: Mutant, copy: Path) -> bool:
    """Whether its tests pass as things are, and one of them fails without the safety."""
    began = time.monotonic()
    target = copy / mutant.file
    source = target.read_text()
    before = outcome_of(mutant, copy)
    target.write_text(mutant.mutated(source))
    try:
        after = outcome_of(mutant, copy)
    finally:
        target.write_text(source)
    killed = before == "passed" and after != "passed"
    verdict = f"killed ({after})" if killed else f"SURVIVED (its tests: {before} with the safety, {after} without it)"
    print(f"{mutant.name:40} {verdict}, {time.monotonic() - began:.0f} s", flush=True)
    return killed


def outcome_of(mutant: Mutant, copy: Path) -> str:
    """passed, failed or hung; anything else is pytest's exit code, such as 4: no such test."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider", *mutant.tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return "hung"
    return {0: "passed", 1: "failed"}.get(done.returncode, f"pytest ended with {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
