"""What a WSGI server loads: `bayesian_jobs.api.wsgi:create()`."""

import atexit
import os
from contextlib import ExitStack

import falcon

from bayesian_jobs.api.app import create_app
from bayesian_jobs.bootstrap import assemble, database
from bayesian_jobs.settings import load


def create() -> falcon.App[falcon.Request, falcon.Response]:
    """The API as the environment configures it; an embedded PostgreSQL runs until the process ends.

    Raises SettingsError, also when JOBS_HOST would open the API to other machines.
    """
    settings = load(os.environ)
    settings.check_bind()
    until_exit = ExitStack()
    atexit.register(until_exit.close)
    found, _ = until_exit.enter_context(database(settings))
    return create_app(assemble(found, "api"))
