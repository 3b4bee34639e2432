from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.store.retention import prune


class PruneHistory(BaseHandler):
    """Remove history past its retention.

    Ended runs, finished jobs and failure entries that are older than the setting JOBS_RETENTION go. Whatever still
    waits or runs stays.
    """

    max_retries = 3

    def execute(self) -> None:
        pruned = prune(self.run.engine, self.run.retention)
        self.log.info(
            "removed %d partitions and %d single runs, %d jobs, %d processes, %d waiting tasks of flows",
            len(pruned.partitions),
            pruned.runs,
            pruned.jobs,
            pruned.processes,
            pruned.tasks,
        )
