"""Peers measured beside the project: one script each, in its own environment, on databases of the same server."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bayesian_jobs.up.child import leashed
from benchmarks import environments
from benchmarks.environments import ROOT, Unavailable, last_words
from benchmarks.harness import Server, empty_database
from benchmarks.peers.errand import VARIABLE, Errand
from benchmarks.report import Table
from benchmarks.services import Services, end_group

THREADS = 8
PATIENCE = 300
"""Seconds for one errand: more than the script's own patience, so that it can say itself what did not come."""
FOREIGN = ("PYTHON", "VIRTUAL_ENV", "JOBS_", "PG", "NODE_")


class Failed(Exception):
    """A peer did not do what it was asked to; the text is the last that it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    name: str
    """As the table has it."""
    script: str
    """The name of a file in `peers/`, without its suffix."""
    number: int
    """Of jobs, runs or messages."""
    processes: int = 1
    service: str | None = None
    """What it needs besides PostgreSQL: one of those that `services.py` starts."""
    options: Mapping[str, Any] = field(default_factory=dict)


class Company:
    """The peers of one part. One that cannot be had, or fails, is left out of the table by name, with the reason."""

    def __init__(self, peers: Sequence[Peer], server: Server, services: Services, table: Table) -> None:
        self._peers, self._server, self._services, self._table = peers, server, services, table
        self._environments: dict[str, Path] = {}
        for peer in peers:  # before anything is measured: installing is work
            with self._leaving_out(peer):
                script = environments.script(peer.script)
                self._environments[peer.script] = environments.environment(script)
                table.versions[peer.name] = script.versions

    @property
    def present(self) -> list[Peer]:
        return [peer for peer in self._peers if peer.name not in self._table.missing]

    def answers(self, measure: str) -> Iterator[tuple[Peer, dict[str, Any]]]:
        """Of each peer in turn."""
        for peer in self.present:
            answer = None
            with self._leaving_out(peer):
                answer = self._ask(peer, measure)
            if answer is not None:
                yield peer, answer

    @contextmanager
    def _leaving_out(self, peer: Peer) -> Iterator[None]:
        try:
            yield
        except (Unavailable, Failed) as error:
            self._table.leave_out(peer.name, str(error))

    def _ask(self, peer: Peer, measure: str) -> dict[str, Any]:
        service = self._services.address(peer.service) if peer.service else ""
        with empty_database(self._server) as url, tempfile.TemporaryDirectory(dir=self._server.directory) as directory:
            errand = Errand(
                measure=measure,
                database=url,
                service=service,
                directory=directory,
                number=peer.number,
                threads=THREADS,
                processes=peer.processes,
                options=dict(peer.options),
            )
            answer = carry_out(environments.script(peer.script), self._environments[peer.script], errand)
        if answer["done"] != peer.number:
            raise Failed(f"{answer['done']} of {peer.number} were done")
        return answer


def carry_out(script: environments.Script, environment: Path, errand: Errand) -> dict[str, Any]:
    """The script's answer: its last line. Raises Failed when there is none."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    environ |= {VARIABLE: json.dumps(asdict(errand)), "NODE_PATH": str(environment / "node_modules")}
    started = psutil.Popen(
        leashed(script.command(environment)),
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = started.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no answer within {PATIENCE} s") from error
    finally:
        end_group(started)
    if started.returncode != 0:
        raise Failed(last_words(errors))
    return read_answer(output)


def read_answer(output: str) -> dict[str, Any]:
    lines = output.strip().splitlines() or [""]
    try:
        answer = json.loads(lines[-1])
    except ValueError as error:
        raise Failed(f"its answer is not JSON: {lines[-1][:100]!r}") from error
    if not isinstance(answer, dict) or "done" not in answer:
        raise Failed(f"its answer does not say how many were done: {lines[-1][:100]!r}")
    return answer
