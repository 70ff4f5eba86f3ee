"""`@track`: an operation for every call of a function, of whichever kind."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, overload

from ralex_core.collection.active import ActiveOperation, current, operation
from ralex_core.collection.guard import guard

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ParamSpec, TypeVar

    from ralex_core.model.operation import Kind

    P = ParamSpec("P")
    R = TypeVar("R")


@overload
def track(name: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def track(
    name: str | None = None,
    kind: Kind = "task",
    attributes: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def track(
    name: Any = None,
    kind: Kind = "task",
    attributes: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Any:
    """Record every call of the decorated function, method, coroutine function, generator or async generator.

    `@track`, `@track()` or `@track("refactor", kind="task", feature="edit")`; the name is the function's qualified
    name by default. Inside, `annotate(…)` or `current_operation()` reach the operation. A generator's operation lasts
    from its first item to its end; of kind llm, its first item counts as the first token.
    """

    def decorate(function: Callable[..., Any], given: str | None = None) -> Callable[..., Any]:
        called = given or getattr(function, "__qualname__", type(function).__name__)
        try:
            return _wrap(function, functools.partial(operation, called, kind, attributes, **fields))
        except Exception:
            guard.swallow("track")
            return function

    if name is None or isinstance(name, str):
        return lambda function: decorate(function, name)  # type: ignore[reportUnknownLambdaType]
    return decorate(name)


def _wrap(function: Callable[..., Any], begin: Callable[[], ActiveOperation]) -> Callable[..., Any]:
    import inspect  # heavy, and a program that only uses `operation` never needs it

    if isinstance(function, type) or not callable(function):
        raise TypeError(f"@track records calls of functions; {function!r} is none")

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_coroutine(*args: Any, **kwargs: Any) -> Any:
            with begin():
                return await function(*args, **kwargs)

        return run_coroutine

    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def run_async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            inner = function(*args, **kwargs)
            with _detached(begin()) as tracked:
                step, argument = inner.asend, None
                while True:
                    try:
                        with _attached(tracked):
                            item = await step(argument)
                    except StopAsyncIteration:
                        return
                    _mark_first(tracked)
                    try:
                        step, argument = inner.asend, (yield item)
                    except GeneratorExit:
                        with _attached(tracked):
                            await inner.aclose()
                        raise
                    except BaseException as error:
                        step, argument = inner.athrow, error

        return run_async_generator

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def run_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            inner = function(*args, **kwargs)
            with _detached(begin()) as tracked:
                step, argument = inner.send, None
                while True:
                    try:
                        with _attached(tracked):
                            item = step(argument)
                    except StopIteration as stop:
                        return stop.value
                    _mark_first(tracked)
                    try:
                        step, argument = inner.send, (yield item)
                    except GeneratorExit:
                        with _attached(tracked):
                            inner.close()
                        raise
                    except BaseException as error:
                        step, argument = inner.throw, error

        return run_generator

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with begin():
            return function(*args, **kwargs)

    return run


@contextmanager
def _detached(operation: ActiveOperation) -> Generator[ActiveOperation]:
    """The operation runs, but does not enclose what the generator's consumer does between two items."""
    with operation:
        token, operation.token = operation.token, None
        if token is not None:
            current.reset(token)
        yield operation


@contextmanager
def _attached(operation: ActiveOperation) -> Generator[None]:
    """The operation encloses what runs in the block; the context is the same before and after."""
    token = current.set(operation)
    try:
        yield
    finally:
        current.reset(token)


def _mark_first(operation: ActiveOperation) -> None:
    if operation.kind == "llm":
        operation.first_token()
