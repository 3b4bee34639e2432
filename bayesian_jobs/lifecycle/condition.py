"""What a client expects a job to be, so that it changes nothing that somebody else has changed meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bayesian_jobs.errors import ConditionFailed, shortened


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`present`: there is such a job; `tags`: and it has one of these; `absent`: there is none yet.

    Holds as long as the job's row is locked, and only if it was judged under that lock.
    """

    present: bool = False
    tags: frozenset[str] | None = None
    absent: bool = False

    def check(self, job_id: str, job: Mapping[str, Any] | None) -> None:
        """`job`: the row, locked, or None if there is none. Raises ConditionFailed."""
        if job is None:
            if self.present:
                raise ConditionFailed(f"There is no job {shortened(job_id)}")
        elif self.tags is not None and tag(job) not in self.tags:
            raise ConditionFailed(f"Job {shortened(job_id)} is not what it was when you read it: it was changed")
        elif self.absent:
            raise ConditionFailed(f"There is a job {shortened(job_id)} already")


UNCONDITIONAL: Final = Condition()


def tag(job: Mapping[str, Any]) -> str:
    """Changes with every change of the job's definition or state, but not with its runs. A job that is deleted and
    created again has another one."""
    return f"{job['job_no']}-{job['version']}"
