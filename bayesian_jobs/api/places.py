"""Where things are: the base path, and the `Location` of what an answer tells of."""

import falcon

from bayesian_jobs.remote import call
from bayesian_jobs.remote.call import BASE

LOCATION = "Location"


def of_job(job_id: str) -> str:
    return BASE + call.of_job(job_id)


def of_run(run_id: str) -> str:
    return BASE + call.of_run(run_id)


def show(resp: falcon.Response, place: str) -> None:
    """Tell where to find what was made or accepted."""
    resp.set_header(LOCATION, place)
