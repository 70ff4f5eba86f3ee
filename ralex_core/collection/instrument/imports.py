"""Waiting for a library to be imported by the program itself, without importing it."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ralex_core.collection.guard import guard

_lock = threading.RLock()
_waiting: dict[str, Callable[[], object]] = {}


def when_imported(module: str, act: Callable[[], object]) -> None:
    """Call `act` now when the module is loaded, else right after its first import. One waits per module."""
    with _lock:
        if module not in sys.modules:
            _waiting[module] = act
            if _finder not in sys.meta_path:
                sys.meta_path.insert(0, _finder)
            return
    act()


def forget(module: str | None = None) -> None:
    """Wait no longer for this module, or for any."""
    with _lock:
        if module is None:
            _waiting.clear()
        else:
            _waiting.pop(module, None)
        if not _waiting and _finder in sys.meta_path:
            sys.meta_path.remove(_finder)


class _Finder(MetaPathFinder):
    """Finds what the other finders find, with a loader that tells when it is done."""

    def __init__(self) -> None:
        self._looking = threading.local()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _waiting or getattr(self._looking, "name", None) == fullname:
            return None
        self._looking.name = fullname
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking.name = None
        if spec is not None and spec.loader is not None:
            spec.loader = _Telling(spec.loader)
        return spec


class _Telling(Loader):
    """Another loader, and then the act that waits for its module."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # As if we had never been here: a module may ask its spec for its loader, for its files above all.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        with _lock:
            act = _waiting.pop(module.__name__, None)
            forget_finder = not _waiting
        if forget_finder:
            forget()
        if act is not None:
            try:
                act()
            except Exception:
                guard.swallow(f"instrument {module.__name__}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


_finder = _Finder()
