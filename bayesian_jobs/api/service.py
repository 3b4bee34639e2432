"""The service as a whole: its state, and the probes."""

from typing import Any

import falcon
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from bayesian_jobs.api import codec, conditions, media, problems
from bayesian_jobs.api.audit import signed
from bayesian_jobs.api.conditions import IF_SAME_STATE
from bayesian_jobs.api.job_options import NEW_STATE, REASON, UNTIL
from bayesian_jobs.api.operation import EVERYBODY, SERVICE_SETTINGS, operation
from bayesian_jobs.api.parameters import state_change
from bayesian_jobs.domain.tokens import Scope
from bayesian_jobs.lifecycle import service
from bayesian_jobs.store import migrations, processes
from bayesian_jobs.store import service as store

WORDS = (NEW_STATE, REASON, UNTIL)
CHANGING = {200: "ServiceState", 412: "Problem"}


class ServiceState:
    """`/service/state`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(SERVICE_SETTINGS, scope=Scope.READ, answers={200: "ServiceState"})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Whether the service is running or paused."""
        with self.engine.connect() as connection:
            self._tell(resp, store.read(connection))

    @operation(SERVICE_SETTINGS, scope=Scope.WRITE, query=WORDS, headers=(IF_SAME_STATE,), answers=CHANGING)
    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Pause or resume the whole service.

        Stored in the database: every replica obeys. Resuming is judged like the end of a downtime. A pause may have a
        `reason` and last `until` a time.
        """
        media.refuse_body(req)
        change, condition = state_change(req.context.query), conditions.read(req)
        self._tell(resp, service.change_state(signed(self.engine, req), **change, condition=condition))

    def _tell(self, resp: falcon.Response, state: store.Service) -> None:
        conditions.show_tag(resp, service.tag(state))
        resp.media = codec.service(state)


class Readiness:
    """`/readiness`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(SERVICE_SETTINGS, scope=EVERYBODY, answers={200: "Readiness", 503: "Problem"})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Whether the service can do its work.

        The database answers, its schema is current, and at least one scheduler and one worker are alive.
        """
        checks, faults = self._look()
        if faults:
            problems.answer(resp, 503, "; ".join(faults), ready=False, checks=checks)
        else:
            resp.media = {"ready": True, "checks": checks}

    def _look(self) -> tuple[dict[str, Any], list[str]]:
        """What was found, and a phrase for each thing that is missing."""
        checks: dict[str, Any] = {"database": False, "schema": False, "schedulers": 0, "workers": 0}
        try:
            with self.engine.connect() as connection:
                checks["database"] = True
                checks["schema"] = migrations.is_current(connection)
                if not checks["schema"]:
                    return checks, ["the schema of the database is not current"]
                alive = processes.alive(connection)
        except SQLAlchemyError:
            return checks, ["the database does not answer"]
        checks |= {"schedulers": alive.get("scheduler", 0), "workers": alive.get("worker", 0)}
        return checks, [f"no {kind[:-1]} is alive" for kind in ("schedulers", "workers") if not checks[kind]]


class Liveness:
    """`/liveness`"""

    @operation(SERVICE_SETTINGS, scope=EVERYBODY, answers={200: "Liveness"})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Whether this process answers; asks nothing else, not even the database."""
        resp.media = {"alive": True}
