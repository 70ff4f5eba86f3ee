"""Attributes of a span: where each goes, and what of it may be stored.

Spans of one instrumentation carry the same names in the same order, thousands of times. What follows from the names
alone (which of several is the best for its field, which stay attributes) is worked out once for each order, in a
`Shape`; what follows from a name and its value, once for each pair (`attribute_of`, and whoever calls it remembers it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from ralex_core.collection import semconv
from ralex_core.collection.instrument.statements import MAX_READ
from ralex_core.collection.redaction import WITHOUT_TEXT, Redaction

Name = str | tuple[str]
"""The name of an attribute; alone in a tuple when it stays one although there is a field of that name."""
Attribute = tuple[Name, Any, str | None]
"""Name, value, and `"name":value` as it may be stored, when it may stay an attribute."""

MAX_TEXT = 256
"""Characters of a name, an id or a model. Longer text in such a field is a mistake, and would widen every page."""
MAX_SHAPES = 5_000
"""Orders of names remembered, so that a client which invents names cannot fill the memory …"""
MAX_SHAPE = 128
"""… nor with long ones: as many as the SDKs of OpenTelemetry send at most."""
MAX_ATTRIBUTES = 1024
"""Attributes of a span that are looked at; the others are left out."""

NOTHING: Attribute = ("", None, None)
"""In place of an attribute of which nothing is stored."""

_FIRST_NUMBER = semconv.FIRST_NUMBER
_STATEMENT = semconv.SLOTS.index("statement")
_FIRST_OF_CALL, _LAST_OF_CALL = semconv.FIRST_OF_MODEL_CALL, semconv.LAST_OF_MODEL_CALL


def attribute_of(key: str, value: Any, *, redaction: Redaction = WITHOUT_TEXT) -> Attribute:
    """An attribute with its value as its place wants it (see `semconv.Place`), and without secrets where it stays one.

    `value` is plain: text, number, bool, list, dict, or None for one that is not set. Absent and empty values, and
    what may not be stored, are `NOTHING`; of what a tool was given or gave back the fingerprint stays.
    """
    if value is None or value == "":
        return NOTHING
    slot, _, stays = semconv.PLACES.get(key) or semconv.place(key)
    if slot == semconv.CONTENT and not redaction.keep_text:
        member = redaction.member(key, value)
        if member is None:
            return NOTHING
        ((name, kept),) = orjson.loads(f"{{{member}}}").items()
        return name, kept, member
    if slot < 0 or type(value) in _CONTAINERS:
        member = redaction.member(key, value)
        return NOTHING if member is None else (key if slot < 0 else (key,), value, member)
    if type(value) is not str:
        if slot < _FIRST_NUMBER:
            value = ("true" if value else "false") if type(value) is bool else str(value)
    elif len(value) > MAX_TEXT:
        value = value[: MAX_READ + 1 if slot == _STATEMENT else MAX_TEXT]
    return key, value, redaction.member(key, value) if stays else None


class Shape:
    """What the names of attributes say, in their order. Places in that order are called `at`."""

    __slots__ = ("_names", "best", "has_numbers_of_any", "kept", "named", "of_call", "rivals")

    def __init__(self, names: Sequence[Name]) -> None:
        best: dict[int, int] = {}
        ranks: dict[int, int] = {}
        unmapped: dict[str, int] = {}
        mapped: list[tuple[int, int, bool]] = []
        for at, name in enumerate(names):
            if name == "":
                continue
            slot, rank, stays = semconv.place(name) if isinstance(name, str) else _STAYS
            if slot < 0:
                unmapped[_text(name)] = at  # the last of those of one name
                continue
            mapped.append((at, slot, stays))
            if slot not in ranks or rank < ranks[slot]:
                ranks[slot] = rank
                best[slot] = at
        stay = {*unmapped.values(), *(at for at, _, stays in mapped if stays)}
        self.kept = tuple(at in stay for at in range(len(names)))
        """Which stay attributes, whatever they say."""
        self.named = {_text(names[at]): at for at in sorted(stay)}
        self.rivals = tuple((at, best[slot]) for at, slot, stays in mapped if best[slot] != at and not stays)
        """Places of worse names with those of the best: they stay attributes only when they say something else."""
        self.of_call = tuple(at for slot, at in best.items() if _FIRST_OF_CALL <= slot <= _LAST_OF_CALL)
        """What only a call to a model has of its own: of anything else these stay attributes."""
        self.has_numbers_of_any = any(slot > _LAST_OF_CALL for slot in best)
        """Whether there is one of the numbers that any operation may have."""
        self.best = tuple(best.items())
        """Slot and place of the best name that says it, the first of equals."""
        self._names = names

    def name_of(self, slot: int) -> str:
        """The best name that says a slot that has one."""
        return _text(self._names[dict(self.best)[slot]])


_CONTAINERS = (list, dict)
_STAYS = semconv.Place(semconv.UNMAPPED, 0, True)
_shapes: dict[tuple[Name, ...], Shape] = {}


def shape_of(names: tuple[Name, ...]) -> Shape:
    """The shape of names in this order, worked out when it is met for the first time."""
    shape = _shapes.get(names)
    if shape is None:
        shape = Shape(names)
        if len(names) <= MAX_SHAPE:
            if len(_shapes) >= MAX_SHAPES:
                _shapes.clear()
            _shapes[names] = shape
    return shape


def _text(name: Name) -> str:
    return name if isinstance(name, str) else name[0]
