"""At each step that a process makes on the database, it is killed, freezes, raises or loses its connection: whatever it
was doing is done in the end, once."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import errands
import pytest
import stories
import victims
from running import scheduler, worker
from scenes import Errand, Life, NotReached, Scene

ABREAST = 12
AT_ONCE = 10
"""How many scenes of each story the suite plays: each time others, as `--seed` has it; `--all-fail-points`: all."""

STORIES: dict[str, Life | Errand] = {
    "scheduler": Life(stories.prepare_for_scheduler, stories.schedule, others=worker, again=scheduler),
    "worker": Life(stories.prepare_for_worker, stories.work, others=scheduler, again=worker),
    "define": Errand(errands.define_jobs, errands.no_change_is_half_done, errands.the_jobs_are_as_they_were_defined),
    "register": Errand(errands.register_files, errands.no_change_is_half_done, errands.the_files_are_registered),
    "migrate": Errand(errands.migrate, errands.the_schema_is_whole_or_not_there, errands.the_schema_is_current),
}
STEPS = {
    "scheduler": {"open_service", "claim_due", "settle", "requeue", "fail_lost", "renew", "coming"},
    "worker": {"claim", "reject", "finish", "requeue", "renew", "INSERT INTO effects VALUES % run"},
    "define": {"INSERT INTO jobs job_id handler queue", "INSERT INTO audit_log who origin action", "settle"},
    "register": {"INSERT INTO jobs job_id handler queue", "INSERT INTO audit_log who origin action"},
    "migrate": {"UPDATE alembic_version SET version_num= 0011 WHERE"},
}


def scenes(steps: list[str]) -> Iterator[tuple[str, str]]:
    """What may happen, and where. What happens before a statement is no different from what happens after the one
    before it; and making a plan does nothing."""
    for step in dict.fromkeys(steps):
        if step == "connect" or (step.startswith("after") and "PREPARE" not in step):
            yield from ((step, action) for action in victims.ACTIONS)
        elif step.startswith("before COMMIT"):
            yield step, "drop"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", STORIES)
def test_what_breaks_off_at_any_step_is_done_in_the_end_once(
    name, new_database, new_empty_database, tmp_path, request, capsys, seed
):
    database = new_empty_database if name == "migrate" else new_database

    def play(scene: Scene) -> str:
        try:
            with database() as url:
                STORIES[name].play(scene, url)
        except NotReached:
            return "not reached"
        except Exception as error:
            return f"{scene.step}, {scene.action}: {type(error).__name__}: {str(error)[:2000]}"
        return "held"

    assert play(Scene(tmp_path / "all")) == "held"
    steps = victims.steps_in(tmp_path / "all")
    assert STEPS[name] <= {step.removeprefix("after ") for step in steps}
    found = list(scenes(steps))
    chosen = found if request.config.getoption("--all-fail-points") else some(found, seed)
    with ThreadPoolExecutor(ABREAST) as pool:
        played = list(pool.map(play, [Scene(tmp_path / str(n), *each) for n, each in enumerate(chosen)]))
    held, missed = played.count("held"), played.count("not reached")
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {len(found)} scenarios, {len(chosen)} played, {held} held, {missed} not reached\n")
    assert [result for result in played if result not in ("held", "not reached")] == []
    assert missed <= len(played) / 5


def some(found: list[tuple[str, str]], seed: int) -> list[tuple[str, str]]:
    """Evenly from the first to the last, and with another seed others."""
    stride = max(len(found) // AT_ONCE, 1)
    stride += stride % len(victims.ACTIONS) == 0  # or it would be the same action at each of them
    return [found[number % len(found)] for number in range(seed % stride, stride * AT_ONCE, stride)][: len(found)]
