"""Which handlers there are: found in packages and entry points, known by name and by endpoint."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType, ModuleType
from typing import Any, TypeGuard

from bayesian_jobs.errors import Fault, HandlerNotFound, HandlerUnusable, InvalidOptions, InvalidValue, SettingsError
from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.handlers.signature import Signature

ENTRY_POINTS = "bayesian_jobs.handlers"
RESERVED_ENDPOINTS = frozenset({"clean-failed"})
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Registry:
    """The handlers of a process, which do not change after the start, and the queues that their workers consume:
    those of the handlers and `queues`.

    Raises HandlerUnusable when two classes share a name or an endpoint, or when a signature cannot be served.
    """

    def __init__(self, handlers: Iterable[type[BaseHandler]], queues: Iterable[str] = ()) -> None:
        classes: dict[str, type[BaseHandler]] = {}
        endpoints: dict[str, type[BaseHandler]] = {}
        for handler in handlers:
            _claim(classes, handler.__name__, handler, "its name")
            _claim(endpoints, endpoint_of(handler.__name__), handler, "its endpoint")
        self._classes = MappingProxyType(dict(sorted(classes.items())))
        self._endpoints = MappingProxyType(endpoints)
        self.queues = tuple(sorted({*queues, *(handler.queue for handler in self._classes.values())}))
        self._signatures = {name: Signature(handler) for name, handler in self._classes.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def names(self) -> tuple[str, ...]:
        """All names in alphabetical order."""
        return tuple(self._classes)

    def public_names(self) -> tuple[str, ...]:
        """The names of the handlers that users may schedule by an endpoint of their own."""
        return tuple(name for name, handler in self._classes.items() if not handler.internal)

    def get(self, name: str) -> type[BaseHandler]:
        """The class of this name. Raises InvalidOptions, the option being `handler`."""
        handler = self._classes.get(name) if isinstance(name, str) else None
        if handler is None:
            reason = f"is not a known handler (known: {', '.join(self.public_names()) or 'none'})"
            raise InvalidOptions([Fault("handler", name, reason)])
        return handler

    def signature(self, name: str) -> Signature:
        """What the handler's `execute()` takes. Raises as `get` does."""
        return self._signatures[self.get(name).__name__]

    def offered(self, name: str) -> str:
        """The name, if it is that of a handler for users. Raises InvalidOptions, InvalidValue."""
        if self.get(name).internal:
            raise InvalidValue("is a handler of the service's own")
        return name

    def consumed(self, queue: str) -> str:
        """The queue, if the workers of the handlers consume it. Raises InvalidValue."""
        if queue not in self.queues:
            raise InvalidValue(
                f"no worker consumes this queue (there are: {', '.join(self.queues)}); JOBS_QUEUES names further ones"
            )
        return queue

    def faults(self, handler: str, kwargs: Mapping[str, Any]) -> list[Fault]:
        """What is wrong with the keyword arguments of a handler. Raises as `get` does."""
        return self.signature(handler).validate(kwargs)

    def endpoint(self, name: str) -> str:
        """The last part of its path: `flow-scheduling` for `FlowScheduling`. Raises as `get` does."""
        return endpoint_of(self.get(name).__name__)

    def by_endpoint(self, slug: str) -> type[BaseHandler]:
        """The public handler behind `POST /jobs/<slug>`. Raises HandlerNotFound."""
        handler = self._endpoints.get(slug)
        if handler is None or handler.internal:
            raise HandlerNotFound(slug, [endpoint_of(name) for name in self.public_names()])
        return handler


def endpoint_of(name: str) -> str:
    """A class name in kebab case."""
    return _WORD_START.sub("-", name).replace("_", "-").lower()


def discover(packages: Sequence[str], queues: Sequence[str] = ()) -> Registry:
    """Every concrete handler of this project, of the named packages or modules, and of the entry points; with further
    `queues` for their runs.

    Imports all their modules. Raises SettingsError (of JOBS_HANDLERS) for a package that cannot be imported,
    and HandlerUnusable as `Registry` does.
    """
    found: dict[type[BaseHandler], None] = {}
    for module in _modules("bayesian_jobs.handlers"):
        found.update(dict.fromkeys(_handlers_in(module)))
    for package in packages:
        found.update(dict.fromkeys(_handlers_of_package(package)))
    for entry_point in entry_points(group=ENTRY_POINTS):
        found.update(dict.fromkeys(_handlers_of_entry(entry_point)))
    return Registry(found, queues)


def _claim(taken: dict[str, type[BaseHandler]], key: str, handler: type[BaseHandler], what: str) -> None:
    other = taken.setdefault(key, handler)
    if other is not handler:
        raise HandlerUnusable(_path(handler), what, f"{key!r} is taken by {_path(other)}")
    if key in RESERVED_ENDPOINTS:
        raise HandlerUnusable(_path(handler), what, f"{key!r} is reserved")


def _path(handler: type[BaseHandler]) -> str:
    return f"{handler.__module__}.{handler.__qualname__}"


def _handlers_of_package(package: str) -> list[type[BaseHandler]]:
    try:
        return [handler for module in _modules(package) for handler in _handlers_in(module)]
    except Exception as error:
        reason = f"cannot be imported: {type(error).__name__}: {error}"
        raise SettingsError("JOBS_HANDLERS", package, reason) from error


def _handlers_of_entry(entry_point: EntryPoint) -> list[type[BaseHandler]]:
    try:
        loaded = entry_point.load()
        if isinstance(loaded, ModuleType):
            return [handler for module in _modules(loaded.__name__) for handler in _handlers_in(module)]
    except Exception as error:
        reason = f"cannot be imported: {type(error).__name__}: {error}"
        raise HandlerUnusable(entry_point.name, f"entry point of {ENTRY_POINTS}", reason) from error
    if _is_handler(loaded):
        return [loaded]
    reason = f"{loaded!r} is neither a handler nor a module"
    raise HandlerUnusable(entry_point.name, f"entry point of {ENTRY_POINTS}", reason)


def _modules(name: str) -> Iterator[ModuleType]:
    """The module, and when it is a package every module below it except `__main__`."""
    module = importlib.import_module(name)
    yield module
    for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if info.name != "__main__":
            yield from _modules(f"{name}.{info.name}")


def _handlers_in(module: ModuleType) -> list[type[BaseHandler]]:
    """The concrete handlers that the module itself defines."""
    handlers = filter(_is_handler, vars(module).values())
    return [handler for handler in handlers if handler.__module__ == module.__name__]


def _is_handler(item: object) -> TypeGuard[type[BaseHandler]]:
    return inspect.isclass(item) and issubclass(item, BaseHandler) and not inspect.isabstract(item)
