"""A short torture: nearly every kind of fault, in twelve seconds."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from rig.fleet import Size
from rig.plan import KINDS, calm, draw
from rig.report import text
from rig.torture import Order, torture


def test_the_same_seed_draws_the_same_plan_with_every_kind_of_fault_and_none_begins_in_a_calm_phase():
    plan = draw(5, 900)
    assert plan == draw(5, 900)
    assert plan != draw(6, 900)
    counts = Counter(fault.what for fault in plan)
    assert counts.keys() == {kind.what for kind in KINDS}
    assert counts["kill"] >= 80
    assert not any(calm(fault.at, 900) for fault in plan)


@pytest.mark.timeout(400)
def test_under_every_fault_nothing_is_lost_doubled_late_or_disobeyed(seed):
    place = Path(tempfile.mkdtemp(prefix="bayesian-jobs-torture-"))
    place.chmod(0o711)  # PostgreSQL runs as another user, if we are root
    outcome = torture(Order(seed=seed, seconds=12, jobs=200, size=Size(schedulers=3, workers=2), calm=2), place)
    assert outcome.held, text(outcome)
    assert outcome.coverage.checked > 300
    shutil.rmtree(place)
