"""Flows as configured become flat lists of tasks, and parts of them can be selected."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesian_jobs.domain.flow import MOST_TASKS, ActorTask, Definition, Flow, Subflow, expand
from bayesian_jobs.errors import InvalidValue, TaskNotFound


def task(*after: str) -> ActorTask:
    return ActorTask("actor", "core", after)


OTHER = {"fetch": task(), "scan": task("fetch"), "count": task("fetch")}
ANALYSIS = {
    "fetch": task(),
    "scan": task("fetch"),
    "deep": Subflow("other", ("fetch",)),
    "report": task("scan", "deep"),
    "mail": task("report"),
    "tidy": task(),
}


@pytest.fixture
def analysis() -> Flow:
    return expand({"analysis": ANALYSIS, "other": OTHER})["analysis"]


def selected(flow: Flow, *names: str, follow_subflows: bool = True, run_subsequent: bool = False) -> set[str]:
    part = flow.select(names, follow_subflows=follow_subflows, run_subsequent=run_subsequent)
    return {each.name for each in part.tasks}


def waits(flow: Flow) -> dict[str, set[str]]:
    return {each.name: set(each.after) for each in flow.tasks}


def test_a_subflow_starts_after_what_its_task_waits_for_and_all_of_it_is_awaited(analysis: Flow) -> None:
    assert waits(analysis) == {
        "fetch": set(),
        "scan": {"fetch"},
        "deep.fetch": {"fetch"},
        "deep.scan": {"deep.fetch"},
        "deep.count": {"deep.fetch"},
        "report": {"scan", "deep.scan", "deep.count"},
        "mail": {"report"},
        "tidy": set(),
    }


def test_what_comes_after_a_subflow_in_a_subflow_waits_for_its_inmost_tasks() -> None:
    flows = expand({"a": {"b": Subflow("b"), "end": task("b")}, "b": {"c": Subflow("c")}, "c": {"x": task()}})
    assert waits(flows["a"]) == {"b.c.x": set(), "end": {"b.c.x"}}
    assert list(flows) == ["a", "b", "c"]


def test_a_named_task_is_selected_with_all_that_it_waits_for_and_nothing_else(analysis: Flow) -> None:
    assert selected(analysis, "scan", follow_subflows=False) == {"fetch", "scan"}
    assert selected(analysis, "tidy") == {"tidy"}
    assert selected(analysis, "tidy", "scan", follow_subflows=False) == {"fetch", "scan", "tidy"}


def test_following_subflows_a_task_is_found_wherever_it_occurs(analysis: Flow) -> None:
    assert selected(analysis, "scan") == {"fetch", "scan", "deep.fetch", "deep.scan"}
    assert selected(analysis, "count") == {"fetch", "deep.fetch", "deep.count"}
    assert selected(analysis, "deep.scan") == {"fetch", "deep.fetch", "deep.scan"}


def test_a_subflow_is_selected_as_a_whole_by_the_name_of_its_task(analysis: Flow) -> None:
    whole = {"fetch", "deep.fetch", "deep.scan", "deep.count"}
    assert selected(analysis, "deep", follow_subflows=False) == selected(analysis, "deep") == whole


def test_subsequent_tasks_are_selected_with_all_that_they_wait_for(analysis: Flow) -> None:
    everything_but_tidy = {each.name for each in analysis.tasks} - {"tidy"}
    assert selected(analysis, "deep.scan", run_subsequent=True) == everything_but_tidy
    assert selected(analysis, "report", run_subsequent=True) == everything_but_tidy
    assert selected(analysis, "tidy", run_subsequent=True) == {"tidy"}


@pytest.mark.parametrize(
    ("names", "follow_subflows", "unknown", "known"),
    [
        (("fetch", "nope"), True, "nope", "deep.scan"),
        (("count",), False, "count", "fetch, tidy, scan, deep, report, mail"),
        (("deep.scan",), False, "deep.scan", "deep"),
    ],
)
def test_a_name_that_no_task_has_is_refused_with_those_that_there_are(
    analysis: Flow, names: tuple[str, ...], follow_subflows: bool, unknown: str, known: str
) -> None:
    with pytest.raises(TaskNotFound, match=rf"^Flow 'analysis' has no task '{unknown}' \(known tasks: .*{known}"):
        analysis.select(names, follow_subflows=follow_subflows, run_subsequent=False)


@pytest.mark.parametrize(
    ("definitions", "fault"),
    [
        ({"a": {}}, "flow 'a': has no tasks"),
        ({"a": {"x": task("y")}}, "flow 'a': task 'x': after 'y': the flow has no such task"),
        ({"a": {"x": task("x")}}, "flow 'a': task 'x': waits for itself: x → x"),
        ({"a": {"x": task("y"), "y": task("z"), "z": task("x")}}, "task 'x': waits for itself: x → y → z → x"),
        ({"a": {"x": Subflow("b")}}, "flow 'a': task 'x': flow 'b': there is no such flow"),
        ({"a": {"x": Subflow("a")}}, "flow 'a': contains itself: a → a"),
        (
            {"b": {"x": Subflow("c")}, "c": {"x": Subflow("a")}, "a": {"x": Subflow("b")}},
            "flow 'a': contains itself: a → b → c → a",
        ),
    ],
)
def test_what_is_no_flow_is_refused_with_the_names_of_flow_and_task(definitions: Any, fault: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        expand(definitions)
    assert str(refused.value).endswith(fault)


def test_flows_that_multiply_are_refused_before_they_are_laid_out() -> None:
    flows: dict[str, Definition] = {"0": {"x": task()}}
    for level in range(1, 40):
        flows[str(level)] = {str(number): Subflow(str(level - 1)) for number in range(10)}
    with pytest.raises(InvalidValue, match=f"flow '4': has more than {MOST_TASKS} tasks"):
        expand(flows)


@st.composite
def flow_definitions(draw: st.DrawFn) -> dict[str, Definition]:
    """Up to three flows; each may contain those before it."""
    flows: dict[str, Definition] = {}
    for flow in "abc"[: draw(st.integers(1, 3))]:
        nodes: dict[str, ActorTask | Subflow] = {}
        for number in range(draw(st.integers(1, 6))):
            after = tuple(draw(st.lists(st.sampled_from(sorted(nodes)), unique=True))) if nodes else ()
            inner = draw(st.sampled_from([None, *flows]))
            nodes[f"t{number}"] = Subflow(inner, after) if inner else task(*after)
        flows[flow] = dict(draw(st.permutations(list(nodes.items()))))
    return flows


def before(flow: Flow) -> dict[str, set[str]]:
    """All that must have succeeded before each task, directly or not."""
    found: dict[str, set[str]] = {}
    for each in flow.tasks:
        found[each.name] = set(each.after).union(*(found[name] for name in each.after))
    return found


@given(definitions=flow_definitions())
def test_every_task_stands_after_all_that_it_waits_for_and_names_are_unique(definitions: Any) -> None:
    for flow in expand(definitions).values():
        seen: set[str] = set()
        for each in flow.tasks:
            assert seen.issuperset(each.after)
            assert each.name not in seen
            seen.add(each.name)


@given(definitions=flow_definitions())
def test_an_order_of_tasks_holds_between_all_that_they_stand_for(definitions: Any) -> None:
    for name, flow in expand(definitions).items():
        awaited = before(flow)
        below = {own: {each.name for each in flow.tasks if each.path[0] == own} for own in definitions[name]}
        for own, definition in definitions[name].items():
            for other in definition.after:
                assert all(below[other] <= awaited[each] for each in below[own])


@given(definitions=flow_definitions(), data=st.data())
def test_a_selection_is_what_was_named_what_follows_if_asked_for_and_what_these_need(
    definitions: Any, data: st.DataObject
) -> None:
    flow = data.draw(st.sampled_from(list(expand(definitions).values())))
    names = data.draw(st.sets(st.sampled_from([each.name for each in flow.tasks]), min_size=1))
    run_subsequent = data.draw(st.booleans())
    part = flow.select(names, follow_subflows=True, run_subsequent=run_subsequent)

    awaited = before(flow)
    named = {each.name for each in flow.tasks if each.name in names or names & set(each.path)}
    asked = named | ({name for name, needs in awaited.items() if needs & named} if run_subsequent else set())
    assert {each.name for each in part.tasks} == asked.union(*(awaited[name] for name in asked))
    assert list(part.tasks) == [each for each in flow.tasks if each in part.tasks], "order and needs are kept"
