"""Handlers: what jobs can be made of."""

from typing import Any

import falcon

from bayesian_jobs.api.operation import HANDLERS, operation
from bayesian_jobs.domain.durations import format_duration
from bayesian_jobs.domain.tokens import Scope
from bayesian_jobs.handlers.registry import Registry


class Handlers:
    """`/handlers`"""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    @operation(HANDLERS, scope=Scope.READ, answers={200: "HandlerList"})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the handlers, with the schema of their arguments, their documentation and an example."""
        names = self.registry.public_names()
        resp.media = {"handlers": [self._describe(name) for name in names], "handlers_count": len(names)}

    def _describe(self, name: str) -> dict[str, Any]:
        handler, signature = self.registry.get(name), self.registry.signature(name)
        return {
            "name": name,
            "endpoint": f"/jobs/{self.registry.endpoint(name)}",
            "summary": signature.summary,
            "description": signature.description,
            "arguments": signature.standalone_schema(),
            "example": signature.example,
            "queue": handler.queue,
            "time_limit": format_duration(handler.time_limit),
            "max_retries": handler.max_retries,
        }
