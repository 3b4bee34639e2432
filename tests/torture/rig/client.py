"""A client of the API that changes jobs while faults go on, and writes down what it asked for and was answered."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from random import Random
from typing import Any

import psycopg2

from rig.evidence import TICKET
from rig.fleet import Fleet
from rig.history import Call
from rig.jobs import MANAGED

TIMEOUT = 15.0
OPERATIONS = ("pause", "pause", "resume", "resume", "edit", "edit", "put", "delete", "run", "run")


class Client(threading.Thread):
    """One request after the other, about `rate` a second, until it is stopped."""

    def __init__(self, fleet: Fleet, seed: int, rate: float = 5) -> None:
        super().__init__(name="client", daemon=True)
        self.calls: list[Call] = []
        self._fleet = fleet
        self._random = Random(seed)
        self._pause = 1 / rate
        self._over = threading.Event()

    def stop(self) -> None:
        self._over.set()
        self.join(60)

    def run(self) -> None:
        while not self._over.wait(self._pause):
            self._change(self._random.choice(OPERATIONS), f"managed-{self._random.randrange(MANAGED)}")

    def _change(self, what: str, job_id: str) -> None:
        found, tag, _ = self._ask("GET", f"/jobs/{job_id}")
        if found == 404:
            what, tag = "put", None
        elif found != 200 or tag is None:
            return
        method, path, body = self._request(what, job_id)
        begun = time.monotonic_ns()
        sent = None if what == "run" else tag
        status, answered, content = self._ask(method, path, body, sent)
        ended = time.monotonic_ns()
        self.calls.append(
            Call(
                what,
                job_id,
                begun,
                ended,
                status,
                sent,
                sent if what == "delete" else answered,
                self._ticket(),
                content.get("run", {}).get("run_id"),
            )
        )

    def _request(self, what: str, job_id: str) -> tuple[str, str, dict[str, Any] | None]:
        seconds, period = round(self._random.uniform(0, 0.2), 3), self._random.choice([2, 3, 5])
        match what:
            case "pause" | "resume":
                state = "paused" if what == "pause" else "running"
                return "PUT", f"/jobs/{job_id}?state={state}", None
            case "edit":
                return "PATCH", f"/jobs/{job_id}", {"kwargs": {"seconds": seconds}}
            case "put":
                definition = {"handler": "Work", "kwargs": {"seconds": seconds}, "periodically": f"{period} seconds"}
                return "PUT", f"/jobs/{job_id}", definition
            case "delete":
                return "DELETE", f"/jobs/{job_id}", None
            case _:
                return "POST", f"/jobs/{job_id}/run", None

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, tag: str | None = None
    ) -> tuple[int | None, str | None, dict[str, Any]]:
        """Status, ETag and body of the answer; None for all if there was none."""
        api = self._random.choice(self._fleet.of("api"))
        request = urllib.request.Request(
            self._fleet.api_url(api) + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Accept": "application/json"}
            | ({} if body is None else {"Content-Type": "application/json"})
            | ({"If-Match": tag} if tag else {}),
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                return answer.status, answer.headers["ETag"], json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, None, {}
        except (OSError, http.client.HTTPException, ValueError):
            return None, None, {}

    def _ticket(self) -> int | None:
        with suppress(psycopg2.Error):
            ((ticket,),) = self._fleet.sql(TICKET)
            return int(ticket)
        return None
