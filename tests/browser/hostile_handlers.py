"""A handler whose documentation and example try to run a script in the page."""

from typing import Any, ClassVar

from bayesian_jobs.handlers.base import BaseHandler

SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script>"


class Hostile(BaseHandler):
    __doc__ = f"""Summary {SCRIPT}.

    Prose {SCRIPT} [link](javascript:alert(3))

    Args:
        text: argument {SCRIPT}
    """
    example: ClassVar[dict[str, Any]] = {"text": SCRIPT}

    def execute(self, text: str, times: int = 1) -> None: ...
