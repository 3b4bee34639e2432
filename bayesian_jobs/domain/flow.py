"""Flows: small graphs of tasks. As configured, a task may stand for another flow; as started, a flow is the flat list
of its actors' tasks, each after those that it waits for.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from bayesian_jobs.errors import InvalidValue, TaskNotFound

MOST_TASKS = 1000
"""A flow has no more tasks than that, those of its subflows included: subflows multiply."""


@dataclass(frozen=True, slots=True)
class ActorTask:
    """A task as configured: the Dramatiq actor that does it, that actor's queue, and the tasks that it waits for."""

    actor: str
    queue: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subflow:
    """A task as configured that stands for a whole flow: that flow starts after `after`, and what comes after the
    task waits for all of it."""

    flow: str
    after: tuple[str, ...] = ()


Definition = Mapping[str, ActorTask | Subflow]
"""A flow as configured: its tasks by name."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task as started: `path` is its name, below the names of the tasks that stand for the flows it lies in."""

    path: tuple[str, ...]
    actor: str
    queue: str
    after: tuple[str, ...] = ()
    """The names of the tasks that must have succeeded before it starts."""

    @property
    def name(self) -> str:
        """Unique in its flow: `deep.scan` is the task `scan` of the flow that the task `deep` stands for."""
        return ".".join(self.path)

    def answers_to(self, follow_subflows: bool) -> set[str]:
        """The names by which it can be selected: the one it has in the flow itself (if it lies in a subflow: that of
        the task that stands for it); following subflows also its own, with and without what is above it."""
        if not follow_subflows:
            return {self.path[0]}
        return {*self.path, *(".".join(self.path[:depth]) for depth in range(1, len(self.path) + 1))}


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow, or a part of one, as it is started: its tasks, each after all those that it waits for."""

    name: str
    tasks: tuple[Task, ...]

    def select(self, task_names: Iterable[str], *, follow_subflows: bool, run_subsequent: bool) -> "Flow":
        """The part of the flow that consists of the named tasks and all that these wait for; `run_subsequent`: also
        of what comes after the named ones, and all that this waits for. Raises TaskNotFound."""
        wanted = {task.name for name in task_names for task in self._named(name, follow_subflows)}
        if run_subsequent:
            for task in self.tasks:
                if not wanted.isdisjoint(task.after):
                    wanted.add(task.name)
        for task in reversed(self.tasks):
            if task.name in wanted:
                wanted.update(task.after)
        return Flow(self.name, tuple(task for task in self.tasks if task.name in wanted))

    def _named(self, name: str, follow_subflows: bool) -> list[Task]:
        """The tasks of this name: several, if it names a subflow, or occurs in several."""
        found = [task for task in self.tasks if name in task.answers_to(follow_subflows)]
        if not found:
            known = (task.name if follow_subflows else task.path[0] for task in self.tasks)
            raise TaskNotFound(self.name, name, list(dict.fromkeys(known)))
        return found


def expand(definitions: Mapping[str, Definition]) -> dict[str, Flow]:
    """The flows as they are started, in the order of their definitions.

    Raises InvalidValue, naming flow and task: no tasks or too many, `after` what is no task, an unknown subflow, tasks
    that wait for each other, flows that contain each other.
    """
    for name, definition in definitions.items():
        _check(name, definition, definitions)
    flows: dict[str, Flow] = {}
    for name in _inner_first(definitions):
        if _size(definitions[name], flows) > MOST_TASKS:
            raise InvalidValue(f"flow {name!r}: has more than {MOST_TASKS} tasks with those of its subflows")
        flows[name] = Flow(name, tuple(_flat(definitions[name], name, flows)))
    return {name: flows[name] for name in definitions}


def _check(flow: str, definition: Definition, definitions: Mapping[str, Definition]) -> None:
    if not definition:
        raise InvalidValue(f"flow {flow!r}: has no tasks")
    for name, task in definition.items():
        for other in task.after:
            if other not in definition:
                raise InvalidValue(f"flow {flow!r}: task {name!r}: after {other!r}: the flow has no such task")
        if isinstance(task, Subflow) and task.flow not in definitions:
            raise InvalidValue(f"flow {flow!r}: task {name!r}: flow {task.flow!r}: there is no such flow")


def _inner_first(definitions: Mapping[str, Definition]) -> list[str]:
    inner = {
        name: [task.flow for task in definition.values() if isinstance(task, Subflow)]
        for name, definition in definitions.items()
    }
    try:
        return list(TopologicalSorter(inner).static_order())
    except CycleError as error:
        raise InvalidValue(f"flow {_cycle(error)[0]!r}: contains itself: {_arrows(_cycle(error))}") from error


def _size(definition: Definition, flows: Mapping[str, Flow]) -> int:
    tasks = definition.values()
    return sum(len(flows[task.flow].tasks) if isinstance(task, Subflow) else 1 for task in tasks)


def _flat(definition: Definition, flow: str, flows: Mapping[str, Flow]) -> Iterator[Task]:
    """The flow's tasks, those of its subflows in the place of the tasks that stand for them."""
    ends: dict[str, list[str]] = {}
    for name in _order(definition, flow):
        task = definition[name]
        after = tuple(end for each in task.after for end in ends[each])
        if isinstance(task, Subflow):
            tasks = [_below(name, inner, after) for inner in flows[task.flow].tasks]
        else:
            tasks = [Task((name,), task.actor, task.queue, after)]
        ends[name] = _last_of(tasks)
        yield from tasks


def _order(definition: Definition, flow: str) -> list[str]:
    try:
        return list(TopologicalSorter({name: task.after for name, task in definition.items()}).static_order())
    except CycleError as error:
        cycle = _cycle(error)
        raise InvalidValue(f"flow {flow!r}: task {cycle[0]!r}: waits for itself: {_arrows(cycle)}") from error


def _below(name: str, task: Task, after: tuple[str, ...]) -> Task:
    """The task of a subflow, as a task of the flow in which `name` stands for the subflow and starts after `after`."""
    return replace(task, path=(name, *task.path), after=tuple(f"{name}.{each}" for each in task.after) or after)


def _last_of(tasks: Sequence[Task]) -> list[str]:
    """The names of the tasks that no other of them waits for."""
    awaited = {name for task in tasks for name in task.after}
    return [task.name for task in tasks if task.name not in awaited]


def _cycle(error: CycleError) -> list[str]:
    """The cycle that was found, from one of its members, the first of the alphabet, around to it again; each waits for
    the next one, or contains it."""
    members: list[str] = error.args[1][:0:-1]
    first = members.index(min(members))
    return [*members[first:], *members[: first + 1]]


def _arrows(cycle: Sequence[str]) -> str:
    return " → ".join(cycle)
