"""The tokens that entitle to use the API: making, listing and revoking them."""

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api import codec, media
from bayesian_jobs.api.audit import signed
from bayesian_jobs.api.operation import ACCESS, Body, operation
from bayesian_jobs.domain.caller import ANYBODY
from bayesian_jobs.domain.tokens import Scope
from bayesian_jobs.lifecycle import tokens

MAKING = {201: "TokenMade", 409: "Problem", 413: "Problem", 415: "Problem"}
NEW_TOKEN = Body(schema={"$ref": "#/components/schemas/NewToken"})


class Tokens:
    """`/tokens`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(ACCESS, scope=Scope.ADMIN, answers={200: "TokenList"})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List tokens, also those that were revoked or have expired.

        Never their secrets, which are kept nowhere.
        """
        found = [codec.token(each) for each in tokens.list_all(self.engine)]
        resp.media = {"tokens": found, "tokens_count": len(found)}

    @operation(ACCESS, scope=Scope.ADMIN, body=NEW_TOKEN, answers=MAKING)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make a token.

        Its text is in this answer and nowhere else. Needs a token itself, also where all else needs none.
        """
        check_known(req)
        token, text = tokens.create(signed(self.engine, req), media.read_object(req, required=True))
        resp.media = {"token": codec.token(token), "secret": text}
        resp.status = falcon.HTTP_201


class Token:
    """`/tokens/{token_name}`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(ACCESS, scope=Scope.ADMIN, answers={200: "TokenRevoked", 404: "Problem"})
    def on_delete(self, req: falcon.Request, resp: falcon.Response, token_name: str) -> None:
        """Revoke a token for good.

        From the answer on it entitles to nothing. Needs a token itself, also where all else needs none.
        """
        check_known(req)
        media.refuse_body(req)
        resp.media = {"token": codec.token(tokens.revoke(signed(self.engine, req), token_name))}


def check_known(req: falcon.Request) -> None:
    """Without authentication nobody decides who will be let in once there is one: a token that anybody on the machine
    has made would stay good. Raises falcon.HTTPForbidden."""
    if req.context.caller.who == ANYBODY:
        text = "Without authentication (JOBS_AUTH=none) only the command line does this: `bayesian-jobs token …`"
        raise falcon.HTTPForbidden(description=text)
