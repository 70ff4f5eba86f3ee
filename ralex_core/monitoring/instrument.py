"""Time the libraries a program uses, one line each: `instrument.httpx()`, or all of them: `instrument.all()`.

Each call returns a `Switch`: `off()` undoes it exactly, and `with instrument.httpx():` holds for the block. Switching
on twice is switching on once. See docs/instruments.md.
"""

from __future__ import annotations

from collections.abc import Callable

from ralex_core.collection.instrument.imports import forget, when_imported
from ralex_core.collection.instrument.switch import Switch, all_off, switches

__all__ = ["Switch", "all", "off", "on"]

_BY_MODULE: dict[str, Callable[[], object]] = {}
"""Of every instrument that needs no target: the module whose import it waits for in `all`, and the function."""


def all() -> None:
    """Every instrument: of the libraries that are loaded now, and of the others as soon as they are."""
    for module, switch_on in _BY_MODULE.items():
        when_imported(module, switch_on)


def off() -> None:
    """Switch off everything that is on, and wait for no library any longer."""
    forget()
    all_off()


def on() -> list[Switch]:
    """What is switched on."""
    return switches()
