"""What is refused before it is a request: by gunicorn's parser, and by who waits for it. Such an answer is the problem
document that every other error is."""

from http import HTTPStatus
from typing import Any, Final

from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from bayesian_jobs.api import media, problems
from bayesian_jobs.errors import shortened

STATUSES: Final = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    errors.ForbiddenProxyRequest: HTTPStatus.FORBIDDEN,
}
"""What the parser raises; all else of it is 400."""
OUR_FAULT: Final = (errors.ConfigurationProblem, errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)


def refusal(status: HTTPStatus, text: str) -> bytes:
    """A whole HTTP answer, after which the connection is closed."""
    body = media.encode(problems.document(status, text))
    head = (
        f"HTTP/1.1 {status} {status.phrase}\r\nConnection: close\r\nContent-Type: {problems.MEDIA_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n"
    )
    return head.encode("ascii") + body


class RefusingWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's, which would answer in HTML."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Called for what the parser raises, and for what is wrong with the service, which gunicorn logs."""
        if not isinstance(exc, errors.ParseException) or isinstance(exc, OUR_FAULT):
            super().handle_error(req, client, addr, exc)
            return
        text = f"The request cannot be read: {shortened(str(exc))}"
        self.log.warning("%s (from %s)", text, addr[0] if addr else "a local socket")
        try:
            client.sendall(refusal(STATUSES.get(type(exc), HTTPStatus.BAD_REQUEST), text))
        except OSError as error:
            self.log.debug("The client is gone: %s", error)
