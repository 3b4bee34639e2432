"""Who asks for something, and what that entitles them to."""

from dataclasses import dataclass

from bayesian_jobs.domain.tokens import Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """`who`: `token NAME`, or of what kind somebody is who needs no token; `origin`: from where, if that is known."""

    who: str
    scope: Scope
    origin: str | None = None
