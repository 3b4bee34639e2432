"""The pydantic model of a handler's `execute()`: one field for each of its parameters."""

import inspect
import typing
from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PydanticUserError,
    TypeAdapter,
    WithJsonSchema,
    create_model,
)
from pydantic.json_schema import GenerateJsonSchema

from bayesian_jobs.domain.durations import format_duration, parse_duration
from bayesian_jobs.errors import HandlerUnusable

Duration = Annotated[
    timedelta,
    PlainValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "examples": ["1 week", "5:00:00"]}),
]


class ArgumentsSchema(GenerateJsonSchema):
    """JSON schema without made-up titles and without warnings about defaults that JSON cannot show."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def model_of(handler: type[Any], texts: Mapping[str, str]) -> type[BaseModel]:
    """The model of the handler's arguments, `texts` describing them.

    Each field has its argument's name as an alias, so that an argument may be called `copy` or `_x`. Raises
    HandlerUnusable for a parameter that a keyword argument in JSON cannot serve.
    """
    fields: dict[str, Any] = {}
    base: type[BaseModel] = _Closed
    for number, parameter in enumerate(_parameters(handler)):
        if parameter.kind is parameter.VAR_KEYWORD:
            base = _open(parameter.annotation)
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        info = Field(default, alias=parameter.name, description=texts.get(parameter.name))
        fields[f"argument_{number}"] = (parameter.annotation, info)
    return create_model(handler.__name__, __base__=base, **fields)


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _open(hint: Any) -> type[BaseModel]:
    """The base of a model that takes any further argument whose value fits `hint`."""
    namespace = {
        "__module__": __name__,
        "__annotations__": {"__pydantic_extra__": dict[str, hint]},
        "model_config": ConfigDict(extra="allow"),
    }
    return type("_Open", (BaseModel,), namespace)


def _parameters(handler: type[Any]) -> list[inspect.Parameter]:
    """The parameters of `execute()` without `self`, their hints resolved."""
    is_method = inspect.isfunction(inspect.getattr_static(handler, "execute"))
    parameters = list(inspect.signature(handler.execute).parameters.values())[1 if is_method else 0 :]
    namespace = getattr(inspect.unwrap(handler.execute), "__globals__", {})
    return [_resolved(handler, parameter, namespace) for parameter in parameters]


def _resolved(handler: type[Any], parameter: inspect.Parameter, namespace: dict[str, Any]) -> inspect.Parameter:
    name = parameter.name
    if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
        raise HandlerUnusable(handler.__name__, f"argument {name}", "arguments are given by keyword only")
    if parameter.annotation is parameter.empty:
        return parameter.replace(annotation=Any)
    holder = SimpleNamespace(__annotations__={name: parameter.annotation})
    try:
        hint = typing.get_type_hints(holder, globalns=namespace, include_extras=True)[name]
    except Exception as error:
        reason = f"its type hint cannot be resolved: {error}"
        raise HandlerUnusable(handler.__name__, f"argument {name}", reason) from error
    return parameter.replace(annotation=_checked(handler, name, _with_durations(hint)))


def _checked(handler: type[Any], name: str, hint: Any) -> Any:
    try:
        TypeAdapter(hint).json_schema(schema_generator=ArgumentsSchema)
    except (PydanticUserError, TypeError) as error:
        reason = f"JSON cannot carry its type {hint!r}: {str(error).splitlines()[0]}"
        raise HandlerUnusable(handler.__name__, f"argument {name}", reason) from error
    return hint


def _with_durations(hint: Any) -> Any:
    """The hint with `timedelta` (also an optional one) read as the project reads durations."""
    if hint is timedelta:
        return Duration
    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(_with_durations(part) for part in get_args(hint))]  # noqa: UP007 (made at run time)
    return hint
