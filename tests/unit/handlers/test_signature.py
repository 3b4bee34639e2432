"""What a handler's class tells about its arguments, and what is refused."""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, Field

from bayesian_jobs.errors import HandlerUnusable, InvalidOptions
from bayesian_jobs.handlers.signature import Signature


class Ecosystem(Enum):
    NPM = "npm"
    MAVEN = "maven"


class Package(BaseModel):
    name: str
    version: str = "1"


class Analyses:
    """Analyse packages.

    Asks the core workers
    to do it.

    Args:
        names: which packages,
            by name
        ecosystem (Ecosystem): where they live
    """

    example: ClassVar[dict[str, Any]] = {"names": ["serve-static"], "ecosystem": "npm"}

    def execute(
        self,
        names: list[str],
        ecosystem: Ecosystem,
        *,
        mode: Literal["fast", "deep"] = "fast",
        limit: Annotated[int, Field(ge=1)] | None = None,
        tags: dict[str, str] = {},  # noqa: B006 (a default as users write them)
        within: timedelta | None = None,
        since: datetime | None = None,
        package: Package | None = None,
    ) -> None:
        """Starts one analysis a package.

        Args:
            mode: how thorough
        """


@pytest.fixture
def signature() -> Signature:
    return Signature(Analyses)


def reasons(signature: Signature, **kwargs: Any) -> dict[str, str]:
    return {fault.option: fault.reason for fault in signature.validate(kwargs)}


def test_arguments_that_fit_have_no_faults(signature: Signature) -> None:
    assert signature.validate({"names": ["a"], "ecosystem": "maven", "limit": 3, "within": "1 week"}) == []


def test_all_faults_are_told_at_once(signature: Signature) -> None:
    found = reasons(signature, names=["a", 3], limit=0, mode="slow", nonsense=True)

    assert found["kwargs.names[1]"] == "should be a valid string"
    assert found["kwargs.ecosystem"] == "is required"
    assert found["kwargs.limit"] == "should be greater than or equal to 1"
    assert found["kwargs.mode"] == "should be 'fast' or 'deep'"
    assert found["kwargs.nonsense"].startswith("is not an argument of Analyses (it takes: names, ecosystem,")


@pytest.mark.parametrize(
    ("argument", "value"),
    [("limit", "3"), ("limit", True), ("limit", 1.0), ("names", "a"), ("tags", []), ("ecosystem", "pypi")],
)
def test_values_of_another_json_type_are_refused(signature: Signature, argument: str, value: object) -> None:
    kwargs = {"names": ["a"], "ecosystem": "npm", argument: value}

    assert [fault.option.split("[")[0] for fault in signature.validate(kwargs)] == [f"kwargs.{argument}"]


def test_a_duration_is_read_as_everywhere_in_the_project(signature: Signature) -> None:
    assert reasons(signature, names=[], ecosystem="npm", within="1 month").keys() == {"kwargs.within"}


def test_a_fault_deep_inside_names_its_place_and_value(signature: Signature) -> None:
    faults = signature.validate({"names": [], "ecosystem": "npm", "package": {"name": 7}})

    assert [(fault.option, fault.value) for fault in faults] == [("kwargs.package.name", 7)]


@pytest.mark.parametrize("value", [float("nan"), "a\0b", "\ud800", 2**63, {1: 2}, object(), {"a": [float("inf")]}])
def test_values_that_the_database_would_not_keep_are_refused(signature: Signature, value: object) -> None:
    assert [fault.option for fault in signature.validate({"names": value})] == ["kwargs.names"]


def test_depth_is_bounded(signature: Signature) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    assert reasons(signature, names=deep) == {"kwargs.names": "is nested deeper than 32 levels"}


def test_bind_gives_the_types_that_execute_asks_for(signature: Signature) -> None:
    bound = signature.bind(
        {
            "names": [],
            "ecosystem": "npm",
            "within": "5:00:00",
            "since": "2026-11-23T00:00:00Z",
            "package": {"name": "x"},
        }
    )

    assert bound["ecosystem"] is Ecosystem.NPM
    assert bound["within"] == timedelta(hours=5)
    assert bound["since"].isoformat() == "2026-11-23T00:00:00+00:00"
    assert bound["package"] == Package(name="x")
    assert "mode" not in bound


def test_bind_refuses_what_validate_refuses(signature: Signature) -> None:
    with pytest.raises(InvalidOptions, match=r"kwargs\.names"):
        signature.bind({"ecosystem": "npm"})


def test_the_schema_describes_arguments_and_refers_to_components(signature: Signature) -> None:
    schema = signature.schema()

    assert schema["required"] == ["names", "ecosystem"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["names"]["description"] == "which packages, by name"
    assert schema["properties"]["mode"] == {
        "description": "how thorough",
        "default": "fast",
        "enum": ["fast", "deep"],
        "type": "string",
    }
    assert schema["properties"]["package"]["anyOf"][0] == {"$ref": "#/components/schemas/Analyses.Package"}
    assert signature.definitions().keys() == {"Analyses.Package", "Analyses.Ecosystem"}


def test_the_prose_comes_from_the_docstrings(signature: Signature) -> None:
    assert signature.summary == "Analyse packages."
    assert signature.description == "Asks the core workers\nto do it.\n\nStarts one analysis a package."


def test_the_example_is_the_classes_own_and_must_fit(signature: Signature) -> None:
    assert signature.example == {"names": ["serve-static"], "ecosystem": "npm"}

    class Broken(Analyses):
        example: ClassVar[dict[str, Any]] = {"names": 3}

    with pytest.raises(HandlerUnusable, match=r"Handler Broken: example: kwargs\.names: 3"):
        Signature(Broken)


def test_without_an_example_one_is_made_of_the_required_arguments() -> None:
    class Handler:
        def execute(
            self, a: str, b: int, c: list[str], d: dict[str, int], e: Literal["x", "y"], f: int = 3
        ) -> None: ...

    assert Signature(Handler).example == {"a": "text", "b": 0, "c": [], "d": {}, "e": "x"}


def test_open_keyword_arguments_take_anything_that_fits_their_hint() -> None:
    class Handler:
        def execute(self, a: str, **more: int) -> None: ...

    signature = Signature(Handler)

    assert signature.validate({"a": "x", "b": 3}) == []
    assert reasons(signature, a="x", b="y") == {"kwargs.b": "should be a valid integer"}
    assert signature.bind({"a": "x", "b": 3}) == {"a": "x", "b": 3}
    assert signature.schema()["additionalProperties"] == {"type": "integer"}


def test_arguments_may_have_names_that_pydantic_uses_itself() -> None:
    class Handler:
        def execute(self, copy: str, model_config: int, _private: int, json, argument_0: int = 0) -> None: ...  # type: ignore[no-untyped-def]

    kwargs = {"copy": "x", "model_config": 1, "_private": 2, "json": [3]}

    assert Signature(Handler).validate(kwargs) == []
    assert Signature(Handler).bind(kwargs) == kwargs


def test_a_handler_without_arguments_takes_none() -> None:
    class Handler:
        def execute(self) -> None: ...

    assert Signature(Handler).validate({}) == []
    assert reasons(Signature(Handler), a=1) == {"kwargs.a": "is not an argument of Handler (it takes: none)"}


def test_kwargs_that_are_no_object_are_a_fault() -> None:
    assert [fault.option for fault in Signature(Analyses).validate([1])] == ["kwargs"]  # type: ignore[arg-type]


class Positional:
    def execute(self, a: int, /) -> None: ...


class Variadic:
    def execute(self, *a: int) -> None: ...


class Unresolved:
    def execute(self, a: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821


class Uncarried:
    def execute(self, a: Callable[[], None]) -> None: ...


class Foreign:
    def execute(self, a: Signature) -> None: ...


@pytest.mark.parametrize("handler", [Positional, Variadic, Unresolved, Uncarried, Foreign])
def test_a_signature_that_json_cannot_serve_names_class_and_argument(handler: type) -> None:
    with pytest.raises(HandlerUnusable, match=f"Handler {handler.__name__}: argument a: "):
        Signature(handler)
