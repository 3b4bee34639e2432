import logging

from bayesian_jobs.presence import complaints
from bayesian_jobs.presence.complaints import Complaints

log = logging.getLogger("test")


def said(caplog):
    return [record.message for record in caplog.records]


def test_a_trouble_that_lasts_is_said_once_and_its_end_too(caplog):
    caplog.set_level("INFO")
    one = Complaints(log)
    for _ in range(100):
        one.complain("the database is away")
    one.withdraw()
    one.withdraw()
    assert said(caplog) == ["trying again: the database is away", "all is well again"]


def test_another_trouble_is_said_at_once(caplog):
    one = Complaints(log)
    one.complain("away")
    one.complain("refused")
    assert len(said(caplog)) == 2


def test_a_trouble_that_lasts_for_long_is_said_again(caplog, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(complaints.time, "monotonic", lambda: now[0])
    one = Complaints(log)
    one.complain("away")
    now[0] += complaints.AGAIN_AFTER
    one.complain("away")
    assert len(said(caplog)) == 2
