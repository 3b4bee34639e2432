"""A PostgreSQL that starts by itself: private to one user, shared by all of that user's processes.

What protects it:

- It listens on a Unix socket only, in a directory that nobody but the server's account may enter (0700).
- Authentication is `peer`: the kernel tells the server who is calling, and only the user who started it is
  let in. The files that say so (and the settings) belong to that user, not to the server's account.
- Root's server runs as `postgres`, or else as `nobody`, because PostgreSQL refuses to run as root. Other
  processes of that account cannot log in, but they could read its files: where that matters, give the service
  an account of its own.
- No account is created, and no directory that is not ours is opened: what the account could not reach (a data
  directory or a virtual environment below root's 0700 home) is kept in, or copied to, /var/lib/bayesian-jobs.
"""

from bayesian_jobs.embedded.binaries import find_binaries
from bayesian_jobs.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "find_binaries"]
