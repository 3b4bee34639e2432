from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.store.retention import prune


class PruneHistory(BaseHandler):
    """Remove history past its retention.

    Ended runs, finished jobs, failure entries and what the audit log tells go when they are older than the setting
    JOBS_RETENTION. Whatever still
    waits or runs stays.

    Args:
        keep_failures: of the failure entries only so many stay, the newest, however young the others are
    """

    max_retries = 3
    example: ClassVar[Mapping[str, Any]] = {"keep_failures": 10_000}

    def execute(self, keep_failures: Annotated[int, Field(ge=1)] = 10_000) -> None:
        pruned = prune(self.run.engine, self.run.retention, keep_failures)
        self.log.info(
            "removed %d partitions and %d single runs, %d jobs, %d more failure entries, %d processes, "
            "%d waiting tasks of flows, %d idempotency keys, %d tokens, %d entries of the audit log",
            len(pruned.partitions),
            pruned.runs,
            pruned.jobs,
            pruned.failures,
            pruned.processes,
            pruned.tasks,
            pruned.keys,
            pruned.tokens,
            pruned.entries,
        )
