"""Watching work as it happens. What a program needs to be watched is here: `track`, `operation`, `configure`, …

Names are loaded when first used: a program that records operations loads neither the database nor the web framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ralex_core.collection.sdk import (
        ActiveOperation,
        annotate,
        configure,
        current_operation,
        defaults_for,
        flush,
        operation,
        record,
        set_defaults,
        set_session,
        set_user,
        shutdown,
        stats,
        track,
    )
    from ralex_core.monitoring import instrument
    from ralex_core.monitoring.performance import PerformanceMonitor

__all__ = [
    "ActiveOperation",
    "PerformanceMonitor",
    "annotate",
    "configure",
    "current_operation",
    "defaults_for",
    "flush",
    "instrument",
    "operation",
    "record",
    "set_defaults",
    "set_session",
    "set_user",
    "shutdown",
    "stats",
    "track",
]

_ELSEWHERE = {"PerformanceMonitor": "ralex_core.monitoring.performance"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "instrument":
        return import_module("ralex_core.monitoring.instrument")
    value = getattr(import_module(_ELSEWHERE.get(name, "ralex_core.collection.sdk")), name)
    globals()[name] = value  # the next use costs a plain lookup
    return value


def __dir__() -> list[str]:
    return __all__
