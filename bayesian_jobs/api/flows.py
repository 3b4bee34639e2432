"""Flows: how far each start of one has come."""

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api import codec
from bayesian_jobs.api.operation import RUNS, operation
from bayesian_jobs.domain.tokens import Scope
from bayesian_jobs.errors import FlowStartNotFound
from bayesian_jobs.store import flows as store


class Flow:
    """`/flows/{flow_id}`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(RUNS, scope=Scope.READ, answers={200: "Flow", 404: "Problem"})
    def on_get(self, req: falcon.Request, resp: falcon.Response, flow_id: str) -> None:
        """One start of a flow: its tasks, those that still wait included.

        A run that is a task of a flow names its `flow_id`. Of a task that was tried again, its latest run is told.
        """
        with self.engine.connect() as connection:
            tasks = store.tasks_of(connection, flow_id)
        if not tasks:
            raise FlowStartNotFound(flow_id)
        resp.media = codec.flow(flow_id, tasks)
