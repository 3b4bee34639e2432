"""How gunicorn serves the API: `gunicorn` in the repository root, or `bayesian-jobs api` anywhere.

The wheel carries this file as bayesian_jobs/gunicorn.conf.py. gunicorn's own means (GUNICORN_CMD_ARGS, its
command line) change what is set here for one start; the rule about addresses holds in any case.
"""

import os
import sys
from dataclasses import replace

from gunicorn.arbiter import Arbiter

from bayesian_jobs.errors import InvalidValue, SettingsError
from bayesian_jobs.settings import Settings, load, whole_number


def number(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    try:
        return whole_number(text, 1, 100)
    except InvalidValue as error:
        sys.exit(str(SettingsError(variable, text, str(error))))


def settings() -> Settings:
    try:
        return load(os.environ)
    except SettingsError as error:
        sys.exit(str(error))  # what is raised here, gunicorn shows with a traceback


_settings = settings()

wsgi_app = "bayesian_jobs.api.wsgi:create()"
bind = f"{f'[{_settings.host}]' if ':' in _settings.host else _settings.host}:{_settings.port}"

# Requests wait for PostgreSQL more than they compute, so threads come first. A second process doubles memory
# and connections; it pays when the API's CPU is the limit, or when a crash must not interrupt the answers.
# The worker is gunicorn's threaded one, except that its threads never wait for a client: slow ones cannot take the API
# from the others.
worker_class = "bayesian_jobs.api.patience.PatientWorker"
worker_connections = 500
sendfile = False
workers = number("JOBS_API_WORKERS", 1)
threads = number("JOBS_API_THREADS", 8)

# Answers take milliseconds: what has not ended by then never will, and `up` stops within ten seconds by default.
graceful_timeout = 8
keepalive = 5
timeout = 30

# Else who comes from this machine, or through a proxy on it, could say what the path is.
forwarder_headers = ""

limit_request_line = 4094
limit_request_fields = 50
limit_request_field_size = 8190

# Else every gunicorn of one user would share one control socket in the home directory.
control_socket_disable = True
# The heartbeat file of a worker must not lie on a disk that can block.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None  # noqa: S108 - a private file in it
# Tracebacks of the service go to the log; one line a request would be most of it, so it is asked for by
# GUNICORN_CMD_ARGS="--access-logfile -".
accesslog = None
errorlog = "-"
loglevel = _settings.log_level.lower()


def when_ready(server: Arbiter) -> None:
    """Before any worker exists: stop if a listening address breaks the rule, whoever chose that address."""
    for address in [*server.cfg.address, *(listener.sock.getsockname() for listener in server.LISTENERS)]:
        if isinstance(address, tuple):
            try:
                replace(_settings, host=address[0]).check_bind()
            except SettingsError as error:
                sys.exit(str(error))
