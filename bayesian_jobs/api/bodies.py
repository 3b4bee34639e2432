"""The JSON schemas of the bodies that make and change a job, given those of each handler's keyword arguments."""

from collections.abc import Mapping

from bayesian_jobs.api.job_options import JOB_OPTIONS, STATE
from bayesian_jobs.api.json_schema import ANY_OBJECT, TEXT, Schema, either, maybe
from bayesian_jobs.api.parameters import Parameter


def new_job(handlers: Mapping[str, Schema]) -> Schema:
    """The body of `POST /jobs`, given the schema of each handler's keyword arguments. Null stands for the default."""
    options = {each.name: maybe(in_body(each)) for each in JOB_OPTIONS}
    handler = TEXT | {"description": "Name of the handler class", "enum": list(handlers)}
    kwargs = maybe(ANY_OBJECT) | {"description": "Keyword arguments of the handler's `execute()`", "default": {}}
    return {
        "type": "object",
        "properties": {"handler": handler, "kwargs": kwargs, **options},
        "required": ["handler"],
        "additionalProperties": False,
        "anyOf": [of_handler(name, arguments) for name, arguments in handlers.items()],
    }


def in_body(option: Parameter) -> Schema:
    """The schema of an option in JSON, where a list or a whole number may also be text, as in a query."""
    schema = {**option.schema, "description": option.description}
    match schema["type"]:
        case "array":
            return either(schema, TEXT | {"format": "tags"})
        case "integer":
            return either(schema, TEXT | {"format": "digits"})
    return schema


def of_handler(name: str, arguments: Schema) -> Schema:
    """What holds for the body if it names this handler, or one that is not named is this."""
    required: Schema = {"required": ["kwargs"]} if arguments.get("required") else {}
    kwargs = arguments if required else maybe(arguments)
    return {"properties": {"handler": {"const": name}, "kwargs": kwargs}, **required}


def job_definition(handlers: Mapping[str, Schema]) -> Schema:
    """The body of `PUT /jobs/{job_id}`. It names no defaults: what those are depends on whether there is the job."""
    options = {
        name: {key: value for key, value in schema.items() if key != "default"}
        for name, schema in new_job(handlers)["properties"].items()
    }
    return new_job(handlers) | {"properties": options}


def job_changes(handlers: Mapping[str, Schema]) -> Schema:
    """The body of `PATCH /jobs/{job_id}`: any options, null standing for the default. What is absent stays as it is."""
    options = job_definition(handlers)["properties"]
    kwargs_of = [of_handler(name, arguments) | {"required": ["kwargs"]} for name, arguments in handlers.items()]
    return {
        "type": "object",
        "properties": options | {"state": STATE.schema},
        "additionalProperties": False,
        "anyOf": [{"not": {"required": ["kwargs"]}}, *kwargs_of],
    }
