"""What holds for every request and answer: sane paths, no foreign web pages, safe headers."""

import ipaddress
import re
from collections.abc import Mapping

import falcon

from bayesian_jobs.api.parameters import has_control_characters
from bayesian_jobs.errors import shortened

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The policy of what is no page."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@\s]+)(?::[0-9]{1,5})?")


class Guards:
    """Falcon middleware; `policies` are those of what a browser shows as pages, by path or by the beginning of longer
    ones. `host` is the address that the API is configured to listen on; None: a token entitles, not where a request
    comes from. No browser adds one by itself, so pages of other sites cannot make it send one."""

    def __init__(self, policies: Mapping[str, str], host: str | None) -> None:
        self._policies = policies
        self._is_local = host is not None
        own = f"[{host}]" if host and ":" in host else host or ""
        self._names = tuple(dict.fromkeys([*LOCAL_NAMES, own.lower()]))

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        host = (req.get_header("Host") or "").lower()
        if self._is_local:
            _check_peer(req)
            self._check_host(host)
        _check_path(req)
        if has_control_characters(req.path):
            raise falcon.HTTPNotFound
        if self._is_local and req.method not in SAFE_METHODS:
            _check_origin(req, host)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: bool
    ) -> None:
        policy = self._policy_of(req.path)
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.set_header("Referrer-Policy", "no-referrer")
        resp.set_header("Cache-Control", "no-cache" if policy else "no-store")
        resp.set_header("Content-Security-Policy", policy or NOTHING)
        if req.method == "HEAD":
            _close_unread(resp)

    def _policy_of(self, path: str) -> str | None:
        for place, policy in self._policies.items():
            if path == place or (place != "/" and path.startswith(place)):
                return policy
        return None

    def _check_host(self, host: str) -> None:
        """Without authentication, being on this machine is what entitles. A web page that has its own name resolved
        to this machine (DNS rebinding) counts for the browser as our own page, but its name shows in Host."""
        found = _HOST.fullmatch(host)
        if found is None or found[1] not in self._names:
            names = ", ".join(self._names)
            raise falcon.HTTPForbidden(description=f"The request's Host must be one of {names}, not {shortened(host)}")


def _check_peer(req: falcon.Request) -> None:
    """However the server was made to listen: without authentication it answers this machine only. Who comes through
    a socket of the file system has no address."""
    peer = req.env.get("REMOTE_ADDR", "")
    try:
        is_here = peer == "" or ipaddress.ip_address(peer).is_loopback
    except ValueError:
        is_here = False
    if not is_here:
        raise falcon.HTTPForbidden(description="Without authentication (JOBS_AUTH) only this machine is answered")


def _check_path(req: falcon.Request) -> None:
    """Falcon reads bytes that are not UTF-8 as U+FFFD, and so for another name than the one that was asked for."""
    try:
        req.env["PATH_INFO"].encode("latin-1").decode("utf-8")
    except UnicodeError as error:
        raise falcon.HTTPBadRequest(description="The path is not UTF-8") from error


def _check_origin(req: falcon.Request, host: str) -> None:
    origin = req.get_header("Origin")
    foreign = origin is not None and origin.lower().partition("://")[2] != host
    if foreign or req.get_header("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise falcon.HTTPForbidden(description="A page of another site must not change anything here")


def _close_unread(resp: falcon.Response) -> None:
    """Close the file of an answer to HEAD, which falcon would drop unread."""
    close = getattr(resp.stream, "close", None)
    if close is not None:
        close()
        resp.stream = None
