"""What a client expects a job, or the service, to be: it changes nothing that somebody else has changed meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bayesian_jobs.errors import ConditionFailed, shortened


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`present`: there is such a job; `tags`: and it has one of these; `absent`: there is none yet.

    Holds as long as the job's row, or the state of the service, is locked, and only if it was judged under that lock.
    """

    present: bool = False
    tags: frozenset[str] | None = None
    absent: bool = False

    def check(self, job_id: str, job: Mapping[str, Any] | None) -> None:
        """`job`: the row, locked, or None if there is none. Raises ConditionFailed."""
        if job is None:
            if self.present:
                raise ConditionFailed(f"There is no job {shortened(job_id)}")
        elif self.is_broken_by(tag(job)):
            raise ConditionFailed(f"Job {shortened(job_id)} is not what it was when you read it: it was changed")
        elif self.absent:
            raise ConditionFailed(f"There is a job {shortened(job_id)} already")

    def check_service(self, tag: str) -> None:
        """`tag`: that of its state, locked. Raises ConditionFailed."""
        if self.is_broken_by(tag):
            raise ConditionFailed("The service is not what it was when you read it: its state was changed")

    def is_broken_by(self, tag: str) -> bool:
        return self.tags is not None and tag not in self.tags


UNCONDITIONAL: Final = Condition()


def tag(job: Mapping[str, Any]) -> str:
    """Changes with every change of the job's definition or state, but not with its runs. A job that is deleted and
    created again has another one."""
    return f"{job['job_no']}-{job['version']}"
