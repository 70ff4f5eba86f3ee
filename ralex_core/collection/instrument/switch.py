"""Switching instruments on and off: what was replaced is remembered and put back exactly."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ralex_core.collection.guard import guard

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_ABSENT: Any = object()


class Switch:
    """One instrument on one target: `off()` undoes it. As a `with` block it is on until the block ends.

    Replacements look at `on` before they record: where somebody else's wrapper was put around one of ours, `off`
    cannot take ours out without theirs, and ours then only passes calls on.
    """

    __slots__ = ("__weakref__", "_undo", "key", "name", "on", "settings", "target")

    def __init__(self, name: str, target: object = None, settings: tuple[object, ...] = ()) -> None:
        self.name = name
        self.target = target
        """What it is on: a client, an engine, an application; None for the whole library."""
        self.settings = settings
        self.key = (name, id(target))
        self.on = False
        self._undo: list[Callable[[], None]] = []

    def replace(self, owner: object, attribute: str, make: Callable[[Any], Any]) -> None:
        """Put `make(original)` in the place of an attribute of a class, module or instance, until `off`.

        What `owner` only inherited is deleted again afterwards, so that `vars(owner)` is what it was.
        """
        before: Any = vars(owner).get(attribute, _ABSENT)
        replacement = make(getattr(owner, attribute))
        setattr(owner, attribute, replacement)

        def put_back() -> None:
            if vars(owner).get(attribute, _ABSENT) is not replacement:
                return  # somebody wrapped ours meanwhile: theirs stays, and ours passes on
            if before is _ABSENT:
                delattr(owner, attribute)
            else:
                setattr(owner, attribute, before)

        self._undo.append(put_back)

    def undo_with(self, undo: Callable[[], None]) -> None:
        """Call this at `off`, after what was registered later."""
        self._undo.append(undo)

    def off(self) -> None:
        """Put everything back as it was. Idempotent, from any thread."""
        with _lock:
            self.on = False
            if _switches.get(self.key) is self:
                del _switches[self.key]
            while self._undo:
                try:
                    self._undo.pop()()
                except Exception:
                    guard.swallow(f"instrument {self.name} off")

    def __bool__(self) -> bool:
        return self.on

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.off()

    def __repr__(self) -> str:
        on = "" if self.target is None else f" of {type(self.target).__name__}"
        return f"<instrument {self.name}{on}: {'on' if self.on else 'off'}>"


_lock = threading.RLock()
# Weak: a replacement holds its switch, so one on a client lives as long as the client, and no longer.
_switches: weakref.WeakValueDictionary[tuple[str, int], Switch] = weakref.WeakValueDictionary()


def switch_on(
    install: Callable[[Switch], None],
    name: str,
    *,
    target: object = None,
    settings: tuple[object, ...] = (),
    switch: Switch | None = None,
) -> Switch:
    """Switch an instrument on, once per library or target.

    `install` gets the switch and calls its `replace` and `undo_with`. When the instrument is on already with the same
    settings nothing happens and its switch is returned; with other settings it is switched off first. When `install`
    fails, what it did is undone, the failure is dealt with by the guard, and the switch returned is off.
    """
    with _lock:
        if switch is None:
            switch = Switch(name, target, settings)
        there = _switches.get(switch.key)
        if there is not None and there.settings == settings:
            return there
        if there is not None:
            there.off()
        try:
            install(switch)
            switch.on = True
            _switches[switch.key] = switch
        except Exception as error:
            switch.off()
            if isinstance(error, ImportError):
                guard.warn(
                    f"instrument {name}",
                    "The instrument %s was not switched on: %s. Install the library, or leave the instrument out.",
                    name,
                    error,
                )
            guard.swallow(f"instrument {name}")
        return switch


def switches(name: str | None = None) -> list[Switch]:
    """The instruments that are on, oldest first; of one library when `name` is given."""
    with _lock:
        return [switch for switch in list(_switches.values()) if name is None or switch.name == name]


def all_off(name: str | None = None) -> None:
    """Switch off every instrument, or every one of one library, the latest first."""
    for switch in reversed(switches(name)):
        switch.off()
