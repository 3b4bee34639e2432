"""Who asks for something, and what that entitles them to."""

from dataclasses import dataclass
from typing import Final

from bayesian_jobs.domain.tokens import Scope

ANYBODY: Final = "local"
"""Who asks from this machine without authentication."""


@dataclass(frozen=True, slots=True)
class Caller:
    """`who`: `token NAME`, or of what kind somebody is who needs no token; `origin`: from where, if that is known."""

    who: str
    scope: Scope
    origin: str | None = None
