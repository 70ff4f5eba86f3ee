"""The one rule of what may be stored, for every source, and the one bounded walk over what comes in.

Stored is what is known to be harmless: numbers, identifiers, and short texts under names that conventions give a
harmless meaning. Other text is stored only when the setting says so, and then without credentials, which are never
stored. The walk looks at a bounded number of entries to a bounded depth, in linear time, before anything else does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final, cast

import orjson

from ralex_core.collection.attribute_names import (
    ARGUMENTS,
    EDITED_LINES,
    FINGERPRINT_OF_ARGUMENTS,
    FINGERPRINT_OF_RESULT,
    FINGERPRINTS_OF_LINES,
    RESULTS,
    Holds,
    holds,
)
from ralex_core.collection.credentials import MAX_KEY, REDACTED, holds_credential, redact_text
from ralex_core.collection.fingerprints import Fingerprints, is_fingerprint, of_process
from ralex_core.model.operation import Operation

MAX_ATTRIBUTES_BYTES = 8192
"""Attributes of one operation, as JSON; beyond it the longest are left out."""
MAX_ENTRIES = 512
"""Attributes of one operation, nested values included."""
MAX_DEPTH = 8
"""Levels of nested values."""
MAX_TEXT = 1024
"""Characters kept of one text."""
MAX_IDENTIFIER = 128
"""Characters of a value that is stored under any name. A longer one is text, or encodes some."""
MAX_ERROR_TYPE = 200
"""Characters."""
DROPPED_COUNT = "attributes_dropped"
"""Attribute that says how many others were left out because there were too many, or too much."""

_IDENTIFIER = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]{{0,{MAX_IDENTIFIER - 1}}}")
_ERROR_TYPE = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.:/<>-]{{0,{MAX_ERROR_TYPE - 1}}}|(?:exit code|signal) [0-9]{{1,3}}")
_ERROR_CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,100}(?:Error|Exception|Timeout|Exceeded|Interrupt)\b")
_SHORTEST_CREDENTIAL = 6

_FIELDS = Operation._fields
_ATTRIBUTES = _FIELDS.index("attributes")
_IDS = ("operation_id", "trace_id", "span_id", "parent_span_id", "user_id", "session_id", "provider_request_id")
_NAMES = (
    *("name", "service", "project", "client", "feature", "workflow", "provider", "requested_model", "model"),
    *("service_tier", "source"),
)
_TEXT_FIELDS = tuple(_FIELDS.index(field) for field in (*_IDS, *_NAMES))
_texts_of = cast("Callable[[Operation], tuple[str, ...]]", itemgetter(*_TEXT_FIELDS))

_PLAIN = (Holds.ANYTHING, Holds.KNOWN)
_NUMBERS = frozenset((int, float, bool))
_MAX_REMEMBERED = 50_000
_LEFT_OUT: Final = object()


class _Walk:
    """What one walk may still look at, and what it passed over because of that."""

    __slots__ = ("entries", "passed_over")

    def __init__(self) -> None:
        self.entries = MAX_ENTRIES
        self.passed_over = 0


class Redaction:
    """What is taken out before anything is stored. Safe to use from several threads."""

    def __init__(self, *, keep_text: bool = False, fingerprints: Fingerprints | None = None) -> None:
        """`keep_text` stores text, without credentials. `fingerprints` are those of the installation; by default of
        this process."""
        self.keep_text = keep_text
        self.fingerprints = fingerprints or of_process()
        self._harmless: set[str] = set()
        """Identifiers that hold no credential: most values come again and again."""
        self._clean: set[str] = set()
        """Names and ids that hold no credential."""

    # --- attributes ---------------------------------------------------------------------------------------------

    def attributes(self, text: str) -> str | None:
        """Attributes (a JSON object as text) as they may be stored; None when nothing is left."""
        if text == "{}":
            return None
        given: dict[str, Any] = orjson.loads(text)
        if len(text) <= MAX_ATTRIBUTES_BYTES and all(self._is_harmless(key, value) for key, value in given.items()):
            return text
        walk = _Walk()
        kept: dict[str, Any] = {}
        for key, value in given.items():
            self._take(key, value, kept, walk)
        return _bounded(kept, walk.passed_over)

    def member(self, key: str, value: Any) -> str | None:
        """One attribute as a member of a JSON object (`"key":value`), as `attributes` would leave it, but for the
        bound of the whole; None when nothing of it is stored."""
        if self._is_harmless(key, value):
            return orjson.dumps({key: value}).decode()[1:-1]
        kept: dict[str, Any] = {}
        self._take(key, value, kept, _Walk())
        return orjson.dumps(kept).decode()[1:-1] if kept else None

    def _is_harmless(self, key: str, value: Any) -> bool:
        """Whether an attribute stays as it is: a number or a known identifier under a name that says nothing else."""
        return holds(key) in _PLAIN and (
            value.__class__ in _NUMBERS or (value.__class__ is str and value in self._harmless)
        )

    def _take(self, key: str, value: Any, kept: dict[str, Any], walk: _Walk) -> None:
        """Put what is kept of one attribute into `kept`."""
        what = holds(key)
        if what is Holds.TEXT and not self.keep_text and value.__class__ not in _NUMBERS:
            self._take_fingerprint(key, value, kept)
            return
        if what is Holds.UNNAMED:
            if not self.keep_text:
                return
            key, what = redact_text(key[:MAX_KEY]), Holds.ANYTHING
        found = self._value(what, value, walk, 0)
        if found is not _LEFT_OUT:
            kept[key] = found

    def _take_fingerprint(self, key: str, value: Any, kept: dict[str, Any]) -> None:
        name = key.removeprefix("resource.")
        if name in ARGUMENTS:
            found: Any = self.fingerprints.of_text(value)
            told = FINGERPRINT_OF_ARGUMENTS
        elif name in RESULTS:
            found, told = self.fingerprints.of_text(value), FINGERPRINT_OF_RESULT
        elif name in EDITED_LINES:
            found, told = self.fingerprints.of_lines(value), FINGERPRINTS_OF_LINES
        else:
            return
        if found:
            kept[told] = found

    def _value(self, what: Holds, value: Any, walk: _Walk, depth: int) -> Any:
        """What is kept of a value, `_LEFT_OUT` when nothing is."""
        walk.entries -= 1
        if walk.entries < 0:
            walk.passed_over += 1
            return _LEFT_OUT
        if value is None or value.__class__ is bool:
            return value
        if what is Holds.CREDENTIAL:
            return REDACTED
        if what is Holds.FINGERPRINT:
            return value if is_fingerprint(value) else _LEFT_OUT
        if value.__class__ in _NUMBERS:
            return value
        if isinstance(value, str):
            return self._text(what, value)
        if depth == MAX_DEPTH:
            walk.passed_over += 1
            return _LEFT_OUT
        if isinstance(value, dict):
            return self._object(what, cast("dict[str, Any]", value), walk, depth)
        if isinstance(value, list):
            return self._list(what, cast("list[Any]", value), walk, depth)
        return _LEFT_OUT

    def _object(self, outer: Holds, value: dict[str, Any], walk: _Walk, depth: int) -> Any:
        kept: dict[str, Any] = {}
        for key, item in value.items():
            if walk.entries <= 0:
                walk.passed_over += len(value) - len(kept)
                break
            what = holds(key)
            if what is Holds.UNNAMED:
                if not self.keep_text:
                    continue
                key, what = redact_text(key[:MAX_KEY]), Holds.ANYTHING
            if what is Holds.TEXT and not self.keep_text and item.__class__ not in _NUMBERS:
                continue
            if what is not Holds.CREDENTIAL:
                what = outer  # conventions name attributes, not what is inside one
            found = self._value(what, item, walk, depth + 1)
            if found is not _LEFT_OUT:
                kept[key] = found
        return kept if kept or not value else _LEFT_OUT

    def _list(self, what: Holds, value: list[Any], walk: _Walk, depth: int) -> Any:
        """A list of identifiers under a name that says nothing may be a text word by word: only numbers and objects
        of it are kept."""
        kept: list[Any] = []
        for item in value:
            if walk.entries <= 0:
                walk.passed_over += 1
                break
            if what is Holds.ANYTHING and isinstance(item, str) and not self.keep_text:
                continue
            found = self._value(what, item, walk, depth + 1)
            if found is not _LEFT_OUT:
                kept.append(found)
        return kept if kept or not value else _LEFT_OUT

    def _text(self, what: Holds, value: str) -> Any:
        if value in self._harmless:
            return value
        if len(value) <= MAX_IDENTIFIER and (not value or _IDENTIFIER.fullmatch(value)):
            if len(value) >= _SHORTEST_CREDENTIAL and holds_credential(value):
                return redact_text(value)
            _remember(self._harmless, value)
            return value
        return _cut_after(value) if what is Holds.KNOWN or self.keep_text else _LEFT_OUT

    # --- fields -------------------------------------------------------------------------------------------------

    def operations(self, operations: Sequence[Operation], *, attributes_done: bool = False) -> list[Operation]:
        """The same operations as they may be stored, in the same order."""
        if not attributes_done:
            operations = [self._with_attributes(operation) for operation in operations]
        else:
            operations = list(operations)
        hiding = self._hiding(operations)
        for at, operation in enumerate(operations):
            error_type = operation.error_type
            if error_type is not None and error_type not in self._harmless:
                operations[at] = operation = operation._replace(error_type=self.error_type(error_type))
            if hiding and not hiding.isdisjoint(_texts_of(operation)):
                operations[at] = self._without(operation, hiding)
        return operations

    def _with_attributes(self, operation: Operation) -> Operation:
        text = operation.attributes
        if text is None:
            return operation
        kept = self.attributes(text)
        if kept is text:
            return operation
        return Operation._make((*operation[:_ATTRIBUTES], kept, *operation[_ATTRIBUTES + 1 :]))

    def _hiding(self, operations: Iterable[Operation]) -> set[str]:
        """Names and ids among those of the operations that hold a credential."""
        seen: set[str] = set()
        for operation in operations:
            seen.update(_texts_of(operation))
        seen.discard(cast("str", None))
        seen -= self._clean
        if not seen:
            return seen
        if len(self._clean) + len(seen) > _MAX_REMEMBERED:
            self._clean.clear()
        if not holds_credential("\n".join(seen)):  # one search for all of them: nearly always the only one
            self._clean |= seen
            return set()
        hiding = {text for text in seen if holds_credential(text)}
        self._clean |= seen - hiding
        return hiding

    def _without(self, operation: Operation, hiding: set[str]) -> Operation:
        """Ids become pseudonyms, so that what belongs together stays together; in names the credential is hidden."""
        changed: dict[str, str] = {}
        for field in _IDS:
            text = getattr(operation, field)
            if text in hiding:
                changed[field] = self.fingerprints.pseudonym(text)
        for field in _NAMES:
            text = getattr(operation, field)
            if text in hiding:
                changed[field] = redact_text(text)
        return operation._replace(**changed)

    def error_type(self, text: str) -> str:
        """The name of an error. A sentence may quote what failed: its class is taken from it, if it names one."""
        if self.keep_text:
            return redact_text(text[:MAX_ERROR_TYPE])
        text = text[:MAX_TEXT]
        if _ERROR_TYPE.fullmatch(text[:MAX_ERROR_TYPE]) is not None:
            text = text[:MAX_ERROR_TYPE]
        else:
            named = _ERROR_CLASS.search(text)
            text = named[0] if named else "error"
        if holds_credential(text):
            return redact_text(text)
        _remember(self._harmless, text)
        return text


WITHOUT_TEXT = Redaction()
"""What applies where nothing else is said."""


def _remember(known: set[str], text: str) -> None:
    if len(known) >= _MAX_REMEMBERED:
        known.clear()
    known.add(text)


def _cut_after(value: str) -> str:
    """Text that is kept, cut after credentials are out of it: half of one would not be found any more."""
    text = redact_text(value[: 4 * MAX_TEXT])
    return text if len(text) <= MAX_TEXT and len(value) <= 4 * MAX_TEXT else text[:MAX_TEXT] + "…"


def _bounded(kept: dict[str, Any], passed_over: int) -> str | None:
    """As JSON of at most `MAX_ATTRIBUTES_BYTES`: the longest attributes are left out, and counted."""
    if passed_over:
        kept[DROPPED_COUNT] = passed_over
    if not kept:
        return None
    encoded = orjson.dumps(kept)
    if len(encoded) <= MAX_ATTRIBUTES_BYTES:
        return encoded.decode()
    kept.pop(DROPPED_COUNT, None)
    sizes = {key: len(orjson.dumps({key: value})) for key, value in kept.items()}
    room = MAX_ATTRIBUTES_BYTES - len(DROPPED_COUNT) - 16
    fit: set[str] = set()
    for key in sorted(sizes, key=sizes.__getitem__):
        room -= sizes[key]
        if room < 0:
            break
        fit.add(key)
    passed_over += len(kept) - len(fit)
    return orjson.dumps({**{key: kept[key] for key in kept if key in fit}, DROPPED_COUNT: passed_over}).decode()
