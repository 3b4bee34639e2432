"""`python -m bayesian_jobs` is the command `bayesian-jobs`."""

import sys

from bayesian_jobs.cli import main

sys.exit(main())
