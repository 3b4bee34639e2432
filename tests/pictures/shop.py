"""Handlers of an imaginary shop: they take a while, and one of them fails at times."""

import random
import time

from bayesian_jobs.handlers.base import BaseHandler


class SyncStock(BaseHandler):
    """Bring the stock of a warehouse up to date.

    Args:
        warehouse: which
    """

    def execute(self, warehouse: str) -> None:
        time.sleep(random.uniform(0.05, 0.6))


class MailReceipts(BaseHandler):
    """Send the receipts that are due."""

    max_retries = 0

    def execute(self) -> None:
        time.sleep(random.uniform(0.2, 1.5))
        if random.random() < 0.12:
            raise ConnectionError("the mail server closed the connection")


class ReportSales(BaseHandler):
    """Add up what has been sold.

    Args:
        currency: in which
        by: how to group it
    """

    def execute(self, currency: str = "EUR", by: list[str] = ["country"]) -> None:  # noqa: B006
        time.sleep(random.uniform(0.5, 2.5))
