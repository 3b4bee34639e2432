from typing import Any

from bayesian_jobs.handlers.base import BaseHandler


class ErrorHandler(BaseHandler):
    """The handler of failure entries: jobs that only describe a run that failed. Running one does nothing."""

    internal = True

    def execute(
        self,
        exc_str: str,
        exc_traceback: str | None = None,
        failed_job_id: str | None = None,
        failed_job_handler: str | None = None,
        failed_handler_kwargs: dict[str, Any] | None = None,
        run_id: str | None = None,
    ) -> None:
        """Do nothing."""
