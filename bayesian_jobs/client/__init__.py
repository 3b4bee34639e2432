"""For other programs: jobs and runs over the REST API, and jobs made within the program's own database transaction.

from bayesian_jobs.client import Client, schedule, unschedule
"""

from bayesian_jobs.client.client import Client
from bayesian_jobs.client.transaction import schedule, unschedule
from bayesian_jobs.errors import BayesianJobsError, InvalidOptions, JobExists, RequestRefused

__all__ = ["BayesianJobsError", "Client", "InvalidOptions", "JobExists", "RequestRefused", "schedule", "unschedule"]
