"""`?dry_run=true`: what a change of a job would come to."""

from collections.abc import Callable

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api import codec, conditions, parameters
from bayesian_jobs.api.parameters import Parameter
from bayesian_jobs.lifecycle.define import Job
from bayesian_jobs.lifecycle.rehearse import rehearse
from bayesian_jobs.store.engine import Transactions

DRY_RUN = Parameter(
    name="dry_run",
    description="`true`: only tell what would change, the next ten fire times before and after, and what becomes of "
    "queued runs",
    schema={"type": "boolean", "default": False},
)


def is_asked(req: falcon.Request) -> bool:
    """Raises InvalidOptions."""
    return parameters.flag(req.context.query, DRY_RUN)


def tell(engine: Engine, resp: falcon.Response, job_id: str | None, change: Callable[[Transactions], Job]) -> None:
    """Answer 200 with what `change` would make of the job, and the tag of the job as it is."""
    rehearsal = rehearse(engine, job_id, change)
    if rehearsal.before is not None:
        conditions.show(resp, rehearsal.before)
    resp.media = codec.rehearsal(rehearsal)
    resp.status = falcon.HTTP_200
