"""The dashboard: a page at `/` that shows what the API tells, and asks it for changes as anybody else does."""

from pathlib import Path

import falcon

from bayesian_jobs.api.operation import EVERYBODY

STATIC = Path(__file__).parent / "static" / "dashboard"
FILES = "/dashboard/"
# Trusted types: no text becomes markup, whatever a script of the page does with it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


class Page:
    """`/`, whose files lie below FILES. It holds nothing of any job, and so needs no token."""

    def __init__(self) -> None:
        self._html = (STATIC / "index.html").read_bytes()

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = falcon.MEDIA_HTML
        resp.data = self._html

    on_get.scope = EVERYBODY  # type: ignore[attr-defined]
