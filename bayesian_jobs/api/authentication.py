"""Who sends a request, and whether that entitles them to it. What declares no scope is refused to everybody."""

from collections.abc import Mapping, Set
from typing import Any

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api.operation import EVERYBODY, NoScope, scope_of
from bayesian_jobs.api.rate import Rate
from bayesian_jobs.domain.caller import Caller
from bayesian_jobs.domain.tokens import Scope
from bayesian_jobs.errors import InvalidToken
from bayesian_jobs.lifecycle import tokens

PROBES = ("/liveness", "/readiness")
NEEDED = "This needs a token: Authorization: Bearer TOKEN. One is made by `bayesian-jobs token create NAME --scope …`"


class Trust:
    """Falcon middleware that needs no token: whoever gets through to the API is `who`, and may do everything, as fast
    as `rate` allows it to each address."""

    def __init__(self, who: str, origin: str | None = None, rate: Rate | None = None) -> None:
        self._who = who
        self._origin = origin
        self._rate = rate

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        if self._rate is not None:
            self._rate.spend(nobody(req))
        req.context.caller = Caller(self._who, Scope.ADMIN, self._origin or req.remote_addr)

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: Mapping[str, Any]
    ) -> None:
        check_scope(req, resource)


class Tokens:
    """Falcon middleware that asks for a token, except for the paths that are `public` or lie below `pages`. `rate`
    counts by token, and by address what comes without a good one: so nobody can use up what a token may send."""

    def __init__(self, engine: Engine, public: Set[str], pages: tuple[str, ...], rate: Rate) -> None:
        self._engine = engine
        self._public = public
        self._pages = pages
        self._rate = rate

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A path at which nothing is needs a token as well."""
        req.context.caller = None
        if req.path in self._public or req.path.startswith(self._pages):
            self._rate.spend(nobody(req))
            return
        try:
            req.context.caller = self._recognise(req)
        except falcon.HTTPUnauthorized:
            self._rate.spend(f"without a good token, {req.remote_addr}")
            raise
        self._rate.spend(req.context.caller.who)

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: Mapping[str, Any]
    ) -> None:
        check_scope(req, resource)

    def _recognise(self, req: falcon.Request) -> Caller:
        scheme, _, token = (req.get_header("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            raise falcon.HTTPUnauthorized(description=NEEDED, challenges=["Bearer"])
        try:
            with self._engine.begin() as connection:
                return tokens.recognise(connection, token.strip(" "), req.remote_addr)
        except InvalidToken as error:
            challenges = ['Bearer error="invalid_token"']
            raise falcon.HTTPUnauthorized(description=str(error), challenges=challenges) from error


def nobody(req: falcon.Request) -> str:
    """Whose request it is if nobody has said so. A probe counts for itself: whatever else comes from its address must
    not make it fail."""
    probe = f" at {req.path}" if req.path.endswith(PROBES) else ""
    return f"{req.remote_addr}{probe}"


def check_scope(req: falcon.Request, resource: object) -> None:
    """Raises falcon.HTTPForbidden."""
    caller: Caller | None = req.context.caller
    try:
        needed = scope_of(resource, req.method)
    except NoScope as error:
        raise falcon.HTTPForbidden(description="Nobody is entitled to this: it declares no scope") from error
    if needed is EVERYBODY:
        return
    if caller is None or not caller.scope.includes(needed):
        held = f"{caller.who} has the scope {caller.scope}" if caller else "there is none"
        raise falcon.HTTPForbidden(description=f"This needs a token of the scope {needed}; {held}")
