"""A function inside of a section: each call enters one of its own, so threads and tasks may share the function."""

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import wraps
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction

F = TypeVar("F", bound=Callable[..., Any])


def decorated(function: F, section: Callable[..., Any]) -> F:
    """Return the function inside of ``section(*args, **kwargs)``.

    TypeError for a class and for what goes on after the call has returned, as generators do: their body would run
    without the lock, or keep it until somebody asks for the last value.
    """
    _refuse_unfit(function)
    if iscoroutinefunction(function):

        @wraps(function)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            async with section(*args, **kwargs):
                return await function(*args, **kwargs)

        return cast(F, acall)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with section(*args, **kwargs):
            return _ended(function(*args, **kwargs), function)

    return cast(F, call)


def _refuse_unfit(function: Any) -> None:
    if inspect.isclass(function) or not callable(function):
        raise TypeError(f"a lock decorates a function, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function!r} is a generator, which goes on after the call: use with inside of it")


def _ended(result: Any, function: Any) -> Any:
    """Return the result of a function that did its work; TypeError for one that has only begun and hides it."""
    if isinstance(result, Awaitable | Generator | AsyncGenerator):
        if close := getattr(result, "close", None):
            close()
        raise TypeError(f"{function!r} returned {type(result).__name__}, which would run without the lock")
    return result
