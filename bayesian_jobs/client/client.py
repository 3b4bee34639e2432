"""What the REST API does, as methods."""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Unpack

from bayesian_jobs.client.options import Changes, Options, as_written
from bayesian_jobs.remote.call import Call, of_job, of_run
from bayesian_jobs.remote.http import Address, send

PAGE: Final = "200"
"""How many jobs or runs are asked for at once."""
OPEN: Final = ("queued", "running")
FIRST_LOOK, LONGEST_LOOK = 0.05, 1.0
"""Seconds between two looks at a run that is waited for; they grow."""


class Client:
    """Speaks to the API at `url`, which may leave out the base path, with a token if the API asks for one.

    Each method raises RequestRefused, with the API's own sentence; its `status` tells 404 from 409, and is None when
    nobody answered. A request that was not answered, or that the API cannot answer now (429, 502, 503, 504), is sent
    again for `patience` seconds; what makes a job or a run goes under an Idempotency-Key, so it is made once.
    `timeout`: seconds that one answer may take. Safe to be used by several threads.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 60.0, patience: float = 30.0) -> None:
        self._address = Address.parse(url, token, timeout, url_name="url", token_name="token")  # noqa: S106
        self._patience = patience

    def add_job(
        self,
        handler: str,
        kwargs: Mapping[str, Any] | None = None,
        *,
        job_id: str | None = None,
        **options: Unpack[Options],
    ) -> dict[str, Any]:
        """Add a job; without `job_id` it gets one. Refused with 409 if there is such a job."""
        body = {"handler": handler, "kwargs": dict(kwargs or {}), **as_written(options)}
        if job_id is not None:
            body["job_id"] = job_id
        return self._job(Call(method="POST", path="/jobs", body=body, once=True))

    def put_job(
        self, job_id: str, handler: str, kwargs: Mapping[str, Any] | None = None, **options: Unpack[Options]
    ) -> dict[str, Any]:
        """See to it that there is this job, and that it is as these options say."""
        body = {"handler": handler, "kwargs": dict(kwargs or {}), **as_written(options)}
        return self._job(Call(method="PUT", path=of_job(job_id), body=body))

    def change_job(self, job_id: str, **changes: Unpack[Changes]) -> dict[str, Any]:
        """Change what is named, and leave the rest."""
        return self._job(Call(method="PATCH", path=of_job(job_id), body=as_written(changes)))

    def job(self, job_id: str) -> dict[str, Any]:
        return self._send(Call(path=of_job(job_id)))

    def jobs(self, **filters: str) -> Iterator[dict[str, Any]]:
        """All jobs, by their job_id, or those that the filters let through: job_type, state, handler, text, tag."""
        return self._pages("/jobs", "jobs", filters)

    def pause_job(self, job_id: str, *, reason: str | None = None, until: str | datetime | None = None) -> None:
        self._set_state(of_job(job_id), "paused", reason=reason, until=until)

    def resume_job(self, job_id: str) -> None:
        self._set_state(of_job(job_id), "running")

    def delete_job(self, job_id: str) -> None:
        """Remove the job and cancel its queued runs. Refused with 404 if there is none, also when an earlier answer of
        this very request was lost."""
        self._send(Call(method="DELETE", path=of_job(job_id)))

    def run_job(self, job_id: str) -> dict[str, Any]:
        """Run the job now, outside its schedule. Returns the run."""
        return self._run(Call(method="POST", path=f"{of_job(job_id)}/run", once=True))

    def upcoming(self, job_id: str, count: int = 10) -> list[str]:
        """The next fire times of the job."""
        fire_times: list[str] = self._send(Call(path=f"{of_job(job_id)}/upcoming", query={"count": str(count)}))[
            "upcoming"
        ]
        return fire_times

    def explain(self, job_id: str, at: str | datetime | None = None) -> dict[str, Any]:
        """Why the job did or did not run at that time, or whether it will."""
        return self._send(Call(path=f"{of_job(job_id)}/explain", query=query(at=at)))

    def run(self, run_id: str) -> dict[str, Any]:
        return self._send(Call(path=of_run(run_id)))

    def runs(self, job_id: str | None = None, *, state: str | None = None) -> Iterator[dict[str, Any]]:
        """Runs, the newest first: those of a job, or all."""
        return self._pages("/runs" if job_id is None else f"{of_job(job_id)}/runs", "runs", query(state=state))

    def retry_run(self, run_id: str, kwargs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Do once more what the run was to do, with other keyword arguments if they are given. Returns the new run."""
        body = None if kwargs is None else {"kwargs": dict(kwargs)}
        return self._run(Call(method="POST", path=f"{of_run(run_id)}/retry", body=body, once=True))

    def cancel_run(self, run_id: str) -> dict[str, Any]:
        return self._run(Call(method="POST", path=f"{of_run(run_id)}/cancel", once=True))

    def wait_for_run(self, run_id: str, timeout: float) -> dict[str, Any]:
        """The run when it has ended. Raises TimeoutError after `timeout` seconds."""
        until, pause = time.monotonic() + timeout, FIRST_LOOK
        while (run := self.run(run_id))["state"] in OPEN:
            if (left := until - time.monotonic()) <= 0:
                raise TimeoutError(f"run {run_id} is still {run['state']} after {timeout:g} seconds")
            time.sleep(min(pause, left))
            pause = min(1.5 * pause, LONGEST_LOOK)
        return run

    def handlers(self) -> list[dict[str, Any]]:
        """What jobs can be made of."""
        handlers: list[dict[str, Any]] = self._send(Call(path="/handlers"))["handlers"]
        return handlers

    def service_state(self) -> str:
        """`running` or `paused`."""
        state: str = self._send(Call(path="/service/state"))["state"]
        return state

    def pause_service(self, *, reason: str | None = None, until: str | datetime | None = None) -> None:
        """Pause every replica."""
        self._set_state("/service/state", "paused", reason=reason, until=until)

    def resume_service(self) -> None:
        self._set_state("/service/state", "running")

    def _set_state(self, path: str, state: str, **words: Any) -> None:
        self._send(Call(method="PUT", path=path, query=query(state=state, **words)))

    def _pages(self, path: str, what: str, filters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        page = {**filters, "limit": PAGE}
        while True:
            answer = self._send(Call(path=path, query=page))
            yield from answer[what]
            if answer["next"] is None:
                return
            page = {**page, "after": answer["next"]}

    def _job(self, call: Call) -> dict[str, Any]:
        job: dict[str, Any] = self._send(call)["job"]
        return job

    def _run(self, call: Call) -> dict[str, Any]:
        run: dict[str, Any] = self._send(call)["run"]
        return run

    def _send(self, call: Call) -> dict[str, Any]:
        return send(self._address, call, patience=self._patience)


def query(**parameters: Any) -> dict[str, str]:
    """Those that are given, as text."""
    return {name: str(value) for name, value in as_written(parameters).items() if value is not None}
