"""How a process writes its log: one line an event, to stderr, in UTC."""

import logging
import sys
import time

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"

QUIET = {"alembic": logging.WARNING, "pika": logging.CRITICAL}
"""From which level on these libraries are heard. What pika complains of it raises as well, and a lost broker would have
it tell of each attempt, with the traceback."""


def configure_logging(level: str) -> None:
    """Send every logger's lines to stderr, from `level` on. Replaces what was configured before."""
    formatter = logging.Formatter(FORMAT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(least)
