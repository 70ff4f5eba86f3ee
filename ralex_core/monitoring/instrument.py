"""Time the libraries a program uses, one line each: `instrument.httpx()`, or all of them: `instrument.all()`.

Each call returns a `Switch`: `off()` undoes it exactly, and `with instrument.httpx():` holds for the block. Switching
on twice is switching on once. See docs/instruments.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ralex_core.collection.instrument.imports import forget, when_imported
from ralex_core.collection.instrument.switch import Switch, all_off, switch_on, switches

__all__ = [
    "Switch",
    "all",
    "anthropic",
    "asgi",
    "httpx",
    "httpx2",
    "litellm",
    "off",
    "on",
    "openai",
    "psycopg",
    "requests",
    "sqlalchemy",
    "sqlite3",
    "subprocess",
]

SLOW_MS = 100.0
"""A query that takes longer keeps a sample of its statement, with the literals left out."""


def asgi(app: Any = None, *, traceparent: bool = True) -> Switch:
    """Every request of an ASGI application, or without one of all Starlette and FastAPI applications.

    FastAPI and Starlette are instrumented in place. Any other application is wrapped: serve what this returns,
    `app = instrument.asgi(app)`. `traceparent=False` begins a trace of our own where a client names one.
    """
    from ralex_core.collection.instrument import asgi as library

    if app is None:
        return switch_on(
            lambda switch: library.install_everywhere(switch, traceparent), "asgi", settings=(traceparent,)
        )
    return switch_on(
        lambda switch: library.install(switch, app, traceparent),
        "asgi",
        settings=(traceparent,),
        switch=library.AppSwitch("asgi", app, (traceparent,)),
    )


def httpx(client: Any = None, *, traceparent: bool | Collection[str] = True) -> Switch:
    """Every request of a client, sync or async, or without one of all clients.

    `traceparent` says who may be told of our trace: all hosts, none (False), or those named, with their subdomains.
    """

    def install(switch: Switch) -> None:
        from ralex_core.collection.instrument import httpx as library

        library.install(switch, "httpx", client, traceparent)

    return switch_on(install, "httpx", target=client, settings=(_frozen(traceparent),))


def httpx2(client: Any = None, *, traceparent: bool | Collection[str] = True) -> Switch:
    """As `httpx`, for clients of httpx2, its successor."""

    def install(switch: Switch) -> None:
        from ralex_core.collection.instrument import httpx as library

        library.install(switch, "httpx2", client, traceparent)

    return switch_on(install, "httpx2", target=client, settings=(_frozen(traceparent),))


def requests(*, traceparent: bool | Collection[str] = True) -> Switch:
    """Every request of all sessions, and of `requests.get` and its like. `traceparent` as with `httpx`."""

    def install(switch: Switch) -> None:
        from ralex_core.collection.instrument import requests as library

        library.install(switch, traceparent)

    return switch_on(install, "requests", settings=(_frozen(traceparent),))


def sqlalchemy(engine: Any = None, *, slow_ms: float = SLOW_MS) -> Switch:
    """Every statement of an engine, sync or async, or without one of all engines."""

    def install(switch: Switch) -> None:
        from ralex_core.collection.instrument import sqlalchemy as library

        library.install(switch, engine, slow_ms)

    return switch_on(install, "sqlalchemy", target=engine, settings=(slow_ms,))


def sqlite3(*, slow_ms: float = SLOW_MS) -> Switch:
    """Every statement on the connections that `sqlite3.connect` makes from here on."""

    def install(switch: Switch) -> None:
        from ralex_core.collection.instrument import sqlite3 as library

        library.install(switch, slow_ms)

    return switch_on(install, "sqlite3", settings=(slow_ms,))


def psycopg(*, slow_ms: float = SLOW_MS) -> Switch:
    """Every statement of psycopg 3, sync and async, also on connections that are open already."""

    def install(switch: Switch) -> None:
        from ralex_core.collection.instrument import psycopg as library

        library.install(switch, slow_ms)

    return switch_on(install, "psycopg", settings=(slow_ms,))


def subprocess(*, programs: Collection[str] | None = None, traceparent: bool = True) -> Switch:
    """Every program that is run, by `subprocess` or asyncio; or those named, such as `("git", "opencode run")`.

    Programs get our trace in the environment variable `TRACEPARENT`, unless `traceparent` is False.
    """

    def install(switch: Switch) -> None:
        from ralex_core.collection.instrument import subprocess as library

        library.install(switch, None if programs is None else frozenset(programs), traceparent)

    settings = (None if programs is None else frozenset(programs), traceparent)
    return switch_on(install, "subprocess", settings=settings)


def openai(*, providers: Mapping[str, str] | None = None, ask_for_usage: bool = False) -> Switch:
    """Every call to a model through OpenAI's SDK, to OpenAI or to any server that speaks like it.

    `providers` says who bills at hosts of your own: `{"llm.example.internal": "openrouter"}`. `ask_for_usage` asks for
    the usage of chat streams whose caller did not, and keeps the chunk that comes of it from the caller. It is off
    because it changes what the program sends, which not every server takes; such a stream is then recorded without
    tokens, unless the server tells them anyway.
    """
    own = dict(providers or {})

    def install(switch: Switch) -> None:
        from ralex_core.collection.instrument import openai as library

        library.install(switch, own, ask_for_usage)

    return switch_on(install, "openai", settings=(frozenset(own.items()), ask_for_usage))


def anthropic(*, providers: Mapping[str, str] | None = None) -> Switch:
    """Every call to a model through Anthropic's SDK, also those of its Bedrock, Vertex and Foundry clients.

    `providers` as with `openai`.
    """
    own = dict(providers or {})

    def install(switch: Switch) -> None:
        from ralex_core.collection.instrument import anthropic as library

        library.install(switch, own)

    return switch_on(install, "anthropic", settings=(frozenset(own.items()),))


def litellm(*, providers: Mapping[str, str] | None = None) -> Switch:
    """Every call to a model through LiteLLM's functions, and its `Router`, which calls them.

    Switch it on before a program says `from litellm import completion`: such a name goes on meaning the original.
    `providers` as with `openai`.
    """
    own = dict(providers or {})

    def install(switch: Switch) -> None:
        from ralex_core.collection.instrument import litellm as library

        library.install(switch, own)

    return switch_on(install, "litellm", settings=(frozenset(own.items()),))


_BY_MODULE: dict[str, Callable[[], object]] = {
    "starlette.applications": asgi,
    "httpx": httpx,
    "httpx2": httpx2,
    "requests": requests,
    "sqlalchemy.engine": sqlalchemy,
    "sqlite3": sqlite3,
    "psycopg": psycopg,
    "subprocess": subprocess,
    "openai": openai,
    "anthropic": anthropic,
    "litellm": litellm,
}
"""Of every instrument that needs no target: the module whose import it waits for in `all`, and the function."""


def all() -> None:
    """Every instrument: of the libraries that are loaded now, and of the others as soon as they are."""
    for module, instrument in _BY_MODULE.items():
        when_imported(module, instrument)


def off() -> None:
    """Switch off everything that is on, and wait for no library any longer."""
    forget()
    all_off()


def on() -> list[Switch]:
    """What is switched on."""
    return switches()


def _frozen(traceparent: bool | Collection[str]) -> bool | frozenset[str]:
    return traceparent if isinstance(traceparent, bool) else frozenset(traceparent)
