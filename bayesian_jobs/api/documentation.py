"""The OpenAPI document and the page that shows it."""

from pathlib import Path
from typing import Any

import falcon

from bayesian_jobs.api import media
from bayesian_jobs.api.operation import DOCUMENTATION, EVERYBODY, operation

STATIC = Path(__file__).parent / "static"
# Swagger UI sets styles on elements and carries its icons as data: images; everything else comes from here.
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'"
)


class OpenAPI:
    """`/openapi.json`"""

    def __init__(self) -> None:
        self._document = b""

    def publish(self, document: dict[str, Any]) -> None:
        """Serve this document, which describes this resource too and so comes after it."""
        self._document = media.encode(document)

    @operation(DOCUMENTATION, scope=EVERYBODY, answers={200: "OpenAPI"})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """This document."""
        resp.content_type = falcon.MEDIA_JSON
        resp.data = self._document


class Page:
    """`/ui/`: Swagger UI, whose files lie beside it."""

    def __init__(self) -> None:
        self._html = (STATIC / "index.html").read_bytes()

    @operation(DOCUMENTATION, scope=EVERYBODY, answers={200: None})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Swagger UI."""
        resp.content_type = falcon.MEDIA_HTML
        resp.data = self._html


class Redirect:
    """Leads to another path."""

    def __init__(self, location: str) -> None:
        self._location = location

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        raise falcon.HTTPFound(self._location)

    on_get.scope = EVERYBODY  # type: ignore[attr-defined]
