"""Reading the YAML file of flows, strictly: what cannot be meant is told with the line, or with the flow's and the
task's name."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesian_jobs.domain.flow import ActorTask, Definition, Flow, Subflow, expand
from bayesian_jobs.errors import InvalidValue, SettingsError, shortened
from bayesian_jobs.lifecycle.yaml_files import UnusableFile, read_yaml

LONGEST_NAME = 200
LARGEST_FILE = 4 * 1024 * 1024
QUEUE = re.compile(r"[a-zA-Z_][a-zA-Z0-9._-]*")
"""What Dramatiq takes for the name of a queue."""


def read_flows(path: Path | None) -> Mapping[str, Flow]:
    """The flows that the file configures, by name.

    Raises SettingsError, naming the flow and the task.
    """
    if path is None:
        return {}
    try:
        return expand(definitions(read_yaml(path, LARGEST_FILE).value))
    except (InvalidValue, UnusableFile) as error:
        raise SettingsError("JOBS_FLOWS", os.fspath(path), str(error)) from error


def definitions(document: object) -> dict[str, Definition]:
    """Raises InvalidValue."""
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise InvalidValue("must map the name of each flow to its 'queue' and its 'actor' or 'tasks'")
    return {name_of(name, "flow"): definition(name, options) for name, options in document.items()}


def definition(flow: str, options: object) -> Definition:
    place = f"flow {flow!r}"
    given = checked(options, place, ("queue", "actor", "tasks"))
    queue = queue_of(given, place)
    if "tasks" not in given:
        return {flow: ActorTask(name_of(given.get("actor", flow), f"{place}: actor"), needed(queue, place))}
    if "actor" in given:
        raise InvalidValue(f"{place}: has both 'tasks' and an 'actor'; each task has an actor of its own")
    tasks = given["tasks"]
    if not isinstance(tasks, dict):
        raise InvalidValue(f"{place}: 'tasks' must map the name of each task to its options")
    return {task_name(name, place): task(name, options, queue, place) for name, options in tasks.items()}


def task(name: str, options: object, flows_queue: str | None, flow: str) -> ActorTask | Subflow:
    place = f"{flow}: task {name!r}"
    given = checked({} if options is None else options, place, ("after", "actor", "queue", "flow"))
    after = names_after(given.get("after", []), place)
    if "flow" not in given:
        actor = name_of(given.get("actor", name), f"{place}: actor")
        return ActorTask(actor, needed(queue_of(given, place) or flows_queue, place), after)
    if len(given.keys() & {"actor", "queue"}):
        raise InvalidValue(f"{place}: stands for a 'flow', and so has no 'actor' and no 'queue' of its own")
    return Subflow(name_of(given["flow"], f"{place}: flow"), after)


def checked(options: object, place: str, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(options, dict):
        raise InvalidValue(f"{place}: {shortened(options)}: must be a mapping of {' and '.join(map(repr, known))}")
    for key in options:
        if key not in known:
            raise InvalidValue(f"{place}: unknown key {shortened(key)} (known: {', '.join(known)})")
    return options


def names_after(value: object, place: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InvalidValue(f"{place}: after: {shortened(value)}: must be a list of tasks")
    names = [name_of(each, f"{place}: after") for each in value]
    if len(names) != len(set(names)):
        raise InvalidValue(f"{place}: after: {shortened(value)}: names a task twice")
    return tuple(names)


def queue_of(given: Mapping[str, Any], place: str) -> str | None:
    """The `queue` that is given, if one is."""
    if "queue" not in given:
        return None
    queue = given["queue"]
    if not isinstance(queue, str) or len(queue) > LONGEST_NAME or not QUEUE.fullmatch(queue):
        raise InvalidValue(f"{place}: queue: {shortened(queue)}: is no name of a Dramatiq queue")
    return queue


def needed(queue: str | None, place: str) -> str:
    if queue is None:
        raise InvalidValue(f"{place}: needs a 'queue', on which the workers of its actor listen")
    return queue


def task_name(name: object, flow: str) -> str:
    text = name_of(name, f"{flow}: task")
    if "." in text:
        raise InvalidValue(f"{flow}: task {text!r}: a dot in a name stands between a subflow and its task")
    return text


def name_of(value: object, place: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME or not value.isprintable():
        raise InvalidValue(f"{place}: {shortened(value)}: must be a text of 1 to {LONGEST_NAME} printable characters")
    return value
