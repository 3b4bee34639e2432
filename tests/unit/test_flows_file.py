"""The YAML file of flows: what it may say, and what is refused."""

from pathlib import Path

import pytest

from bayesian_jobs.domain.flow import Task
from bayesian_jobs.errors import SettingsError
from bayesian_jobs.lifecycle.flows_file import read_flows


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "flows.yaml"


def test_no_file_and_an_empty_one_configure_no_flow(file: Path) -> None:
    file.write_text("# none yet\n")
    assert read_flows(None) == read_flows(file) == {}


def test_a_flow_without_tasks_is_one_actor_of_its_name_or_another(file: Path) -> None:
    file.write_text("bayesianFlow: {queue: core}\nother.one: {actor: start, queue: elsewhere}\n")
    flows = read_flows(file)
    assert flows["bayesianFlow"].tasks == (Task(("bayesianFlow",), "bayesianFlow", "core"),)
    assert flows["other.one"].tasks == (Task(("other.one",), "start", "elsewhere"),)


def test_tasks_take_the_queue_of_their_flow_and_their_name_for_the_actor_unless_they_say_otherwise(file: Path) -> None:
    file.write_text("""
analysis:
  queue: core
  tasks:
    fetch:
    scan: {after: [fetch]}
    report: {after: [scan, deep], queue: reports, actor: make_report}
    deep: {flow: single, after: [fetch]}
single: {queue: slow}
""")
    tasks = {task.name: task for task in read_flows(file)["analysis"].tasks}
    assert tasks == {
        "fetch": Task(("fetch",), "fetch", "core"),
        "scan": Task(("scan",), "scan", "core", ("fetch",)),
        "deep.single": Task(("deep", "single"), "single", "slow", ("fetch",)),
        "report": Task(("report",), "make_report", "reports", ("scan", "deep.single")),
    }


def test_a_flow_of_which_every_task_has_a_queue_needs_none(file: Path) -> None:
    file.write_text("a: {tasks: {x: {queue: q}, y: {flow: b}}}\nb: {queue: r}\n")
    assert [task.queue for task in read_flows(file)["a"].tasks] == ["q", "r"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a]", "must map the name of each flow"),
        ("a: core", "flow 'a': 'core': must be a mapping"),
        ("a: {queue: q, actr: x}", "flow 'a': unknown key 'actr' (known: queue, actor, tasks)"),
        ("a: {}", "flow 'a': needs a 'queue'"),
        ("a: {queue: 'my queue'}", "flow 'a': queue: 'my queue': is no name of a Dramatiq queue"),
        ("a: {queue: [q]}", "flow 'a': queue: ['q']: is no name of a Dramatiq queue"),
        ("a: {queue: q, actor: 3}", "flow 'a': actor: 3: must be a text"),
        ("'': {queue: q}", "flow: '': must be a text"),
        ("1: {queue: q}", "line 1: the key '1' is not text: put it in quotes"),
        ("a: {queue: q, actor: x, tasks: {x: {}}}", "flow 'a': has both 'tasks' and an 'actor'"),
        ("a: {queue: q, tasks: [x]}", "flow 'a': 'tasks' must map"),
        ("a: {queue: q, tasks: {}}", "flow 'a': has no tasks"),
        ("a: {queue: q, tasks:}", "flow 'a': 'tasks' must map"),
        ("a: {tasks: {x: {}}}", "flow 'a': task 'x': needs a 'queue'"),
        ("a: {queue: q, tasks: {x: y}}", "flow 'a': task 'x': 'y': must be a mapping"),
        ("a: {queue: q, tasks: {x: {befor: y}}}", "flow 'a': task 'x': unknown key 'befor'"),
        ("a: {queue: q, tasks: {x.y: {}}}", "flow 'a': task 'x.y': a dot"),
        (r'a: {queue: q, tasks: {"x\0": {}}}', "flow 'a': task: 'x\\x00': must be a text"),
        ("a: {queue: q, tasks: {yes: {}}}", "line 1: a.tasks: the key 'yes' is not text: put it in quotes"),
        ("a: {queue: q, tasks: {x: {}, y: {after: x}}}", "flow 'a': task 'y': after: 'x': must be a list of tasks"),
        ("a: {queue: q, tasks: {x: {}, y: {after: [x, x]}}}", "task 'y': after: ['x', 'x']: names a task twice"),
        ("a: {queue: q, tasks: {x: {after: [z]}}}", "flow 'a': task 'x': after 'z': the flow has no such task"),
        ("a: {queue: q, tasks: {x: {after: [y]}, y: {after: [x]}}}", "flow 'a': task 'x': waits for itself: x → y → x"),
        ("a: {queue: q, tasks: {x: {flow: b}}}", "flow 'a': task 'x': flow 'b': there is no such flow"),
        ("a: {queue: q, tasks: {x: {flow: a}}}", "flow 'a': contains itself: a → a"),
        ("a: {queue: q, tasks: {x: {flow: a, actor: y}}}", "flow 'a': task 'x': stands for a 'flow'"),
        ("a: {queue: q, tasks: {x: {flow: a, queue: y}}}", "flow 'a': task 'x': stands for a 'flow'"),
        ("a: {queue: q}\na: {queue: q}", "the key 'a' stands twice"),
        ("a: {queue: q", "line 1: while parsing a flow mapping, expected ',' or '}'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_one_sentence(file: Path, text: str, fault: str) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        read_flows(file)
    assert str(refused.value).startswith(f"JOBS_FLOWS='{file}': ")
    assert fault in str(refused.value)
    assert "\n" not in str(refused.value)
