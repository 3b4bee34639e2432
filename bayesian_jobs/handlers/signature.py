"""What a handler's `execute()` takes: checked, described as JSON schema, and read back as Python values."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from bayesian_jobs.domain.json_values import why_not_storable
from bayesian_jobs.errors import Fault, HandlerUnusable, InvalidOptions
from bayesian_jobs.handlers import docstrings
from bayesian_jobs.handlers.faults import at_most, faults_of, named
from bayesian_jobs.handlers.model import ArgumentsSchema, model_of

_PLACEHOLDERS: dict[str, Any] = {
    "string": "text",
    "integer": 0,
    "number": 0,
    "boolean": False,
    "array": [],
    "object": {},
}


class Signature:
    """The arguments of one handler class.

    Made from the parameters, type hints and docstrings of the class and its `execute()`. Raises
    HandlerUnusable, naming class and argument, for a signature that keyword arguments in JSON cannot serve.
    """

    def __init__(self, handler: type[Any]) -> None:
        own, method = docstrings.read(handler.__doc__), docstrings.read(handler.execute.__doc__)
        self.name = handler.__name__
        self.summary = own.summary or method.summary or self.name
        prose = [own.description, method.summary if own.summary else "", method.description]
        self.description = "\n\n".join(part for part in prose if part)
        self._model = model_of(handler, own.arguments | method.arguments)
        self._document = self._model.model_json_schema(
            schema_generator=ArgumentsSchema, ref_template=f"#/components/schemas/{self.name}.{{model}}"
        )
        self.example = self._example(getattr(handler, "example", {}))

    def validate(self, kwargs: Mapping[str, Any]) -> list[Fault]:
        """What is wrong with `kwargs`, which are JSON values: all of it, but as `at_most` bounds it; an empty list when
        they fit."""
        if not isinstance(kwargs, Mapping):
            return [Fault("kwargs", kwargs, "must be an object with the handler's keyword arguments")]
        faults = [
            Fault(named(f"kwargs.{name}"), value, reason)
            for name, value in kwargs.items()
            if (reason := why_not_storable({name: value}))
        ]
        if faults:
            return at_most(faults)
        try:
            self._read(kwargs)
        except ValidationError as error:
            return self._faults(error, kwargs)
        return []

    def bind(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The stored `kwargs` as the types `execute()` asks for (datetimes, enums, models, …).

        Raises InvalidOptions when they do not fit, for example because the class has changed since.
        """
        try:
            model = self._read(kwargs)
        except ValidationError as error:
            raise InvalidOptions(self._faults(error, kwargs)) from error
        names = {name: alias for name, alias in self._model_names().items() if alias in kwargs}
        given = {alias: getattr(model, name) for name, alias in names.items()}
        return given | (model.model_extra or {})

    def schema(self) -> dict[str, Any]:
        """JSON schema of the arguments; what it refers to lies in `definitions()`."""
        return {key: value for key, value in self._document.items() if key != "$defs"}

    def definitions(self) -> dict[str, Any]:
        """The schemas that `schema()` refers to, by their name under `#/components/schemas/`."""
        return {f"{self.name}.{name}": schema for name, schema in self._document.get("$defs", {}).items()}

    def standalone_schema(self) -> dict[str, Any]:
        """JSON schema of the arguments, complete in itself."""
        return self._model.model_json_schema(schema_generator=ArgumentsSchema)

    def _faults(self, error: ValidationError, kwargs: Mapping[str, Any]) -> list[Fault]:
        return faults_of(error, kwargs, self.name, list(self._model_names().values()))

    def _read(self, kwargs: Mapping[str, Any]) -> BaseModel:
        # The JSON reader is strict about JSON's types and yet takes text for a date or an enum.
        return self._model.model_validate_json(json.dumps(dict(kwargs)), strict=True)

    def _model_names(self) -> dict[str, str]:
        return {name: info.alias or name for name, info in self._model.model_fields.items()}

    def _example(self, example: Mapping[str, Any]) -> dict[str, Any]:
        """The class's own example, which must fit; without one, a skeleton of the required arguments."""
        if not example:
            properties = self.schema().get("properties", {})
            return {name: _placeholder(properties[name]) for name in self.schema().get("required", [])}
        faults = self.validate(example)
        if faults:
            raise HandlerUnusable(self.name, "example", "; ".join(str(fault) for fault in faults))
        return dict(example)


def _placeholder(schema: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    return schema.get("const", _PLACEHOLDERS.get(schema.get("type", ""), {}))
