"""python -m rig.again DIR: check the history that a torture has left in DIR, with the checker as it is now."""

import pickle
import sys
from pathlib import Path

from rig import checker
from rig.report import text


def main() -> int:
    outcome = pickle.loads((Path(sys.argv[1]) / "history.pickle").read_bytes())
    outcome.coverage = checker.check(outcome.history)
    print(text(outcome))
    return 0 if outcome.held else 1


if __name__ == "__main__":
    sys.exit(main())
