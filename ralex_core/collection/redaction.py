"""What may not be stored: prompt and answer text (unless turned on) and secrets (never)."""

from __future__ import annotations

import re
from typing import Any

import orjson

MAX_ATTRIBUTES_BYTES = 8192
"""Attributes of one operation, as JSON; beyond it the longest values are cut."""
MAX_VALUE_CHARACTERS = 1024
MAX_ERROR_TYPE = 200
"""Characters."""

CONTENT_WORDS = (
    "prompt",
    "completion",
    "messages",
    "message.content",
    "input.value",
    "output.value",
    "system_instructions",
    "tool.call.arguments",
    "tool.call.result",
    "tool_input",
    "tool_parameters",
    "request_body",
    "response_body",
)
"""A key that contains one of these, and whose value is text, holds what somebody wrote or what a model answered."""

_SECRET_KEY = re.compile(
    r"(?i)(api[-_]?key|authorization|password|passwd|secret|access[-_]?token|refresh[-_]?token|cookie|credential)"
)
_SECRET_VALUE = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{30,}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}|Bearer\s+[A-Za-z0-9._~+/-]{16,})"
)
REDACTED = "[redacted]"


def redact_text(text: str) -> str:
    """The text with anything that looks like a credential replaced."""
    return _SECRET_VALUE.sub(REDACTED, text)


def is_content_key(key: str) -> bool:
    """Whether an attribute of this name carries prompt or answer text (counts and ids of it do not)."""
    lowered = key.lower()
    if lowered.endswith(("tokens", "_count", ".id", "_id", ".name", "length", "prompt.id", ".version")):
        return False
    return any(word in lowered for word in CONTENT_WORDS)


def redact_attributes(text: str, *, keep_content: bool) -> str | None:
    """Attributes (a JSON object as text) without content and secrets, bounded in size; None when nothing is left."""
    if text == "{}":
        return None
    attributes: dict[str, Any] = orjson.loads(text)
    if len(text) <= MAX_ATTRIBUTES_BYTES and all(
        key in _plain_keys and _is_plain(value) for key, value in attributes.items()
    ):
        return text
    kept: dict[str, Any] = {}
    for key, value in attributes.items():
        if _may_be_stored(key, value, keep_content=keep_content):
            kept[key] = REDACTED if _is_secret(key, value) else _clean(value)
    if kept == attributes and len(text) <= MAX_ATTRIBUTES_BYTES:
        return text
    return _bounded(kept) if kept else None


def redacted_member(key: str, value: Any, *, keep_content: bool) -> str | None:
    """One attribute as a member of a JSON object (`"key":value`), as `redact_attributes` would leave it, but for the
    bound of the whole; None when it is left out."""
    if not (key in _plain_keys and _is_plain(value)):
        if not _may_be_stored(key, value, keep_content=keep_content):
            return None
        value = REDACTED if _is_secret(key, value) else _clean(value)
    return orjson.dumps({key: value}).decode()[1:-1]


def safe_error_type(text: str) -> str:
    """The name of an error, without what looks like a credential and not longer than a name."""
    return redact_text(text[:MAX_ERROR_TYPE])


def _may_be_stored(key: str, value: Any, *, keep_content: bool) -> bool:
    """Whether anything of an attribute is kept; remembers keys that name neither content nor a secret."""
    if key in _plain_keys:
        return True
    content = is_content_key(key)
    if not content and _SECRET_KEY.search(key) is None:
        if len(_plain_keys) < _PLAIN_KEYS_KEPT:
            _plain_keys.add(key)
        return True
    return keep_content or not content or isinstance(value, int | float)


_plain_keys: set[str] = set()
"""Keys known to name neither content nor a secret: the same few dozen in nearly every operation."""
_PLAIN_KEYS_KEPT = 10_000
_SHORTEST_SECRET = 15
_SECRET_MARKS = ("sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "xox", "AKIA", "AIza", "eyJ", "Bearer")


def _is_plain(value: Any) -> bool:
    """Whether a value surely holds no credential, told by its type, its length and the marks credentials have."""
    if isinstance(value, str):
        return len(value) < _SHORTEST_SECRET or not any(mark in value for mark in _SECRET_MARKS)
    if isinstance(value, list):
        return all(isinstance(item, int | float | str) and _is_plain(item) for item in value)  # pyright: ignore[reportUnknownVariableType]
    return not isinstance(value, dict)


def _is_secret(key: str, value: Any) -> bool:
    return isinstance(value, str) and _SECRET_KEY.search(key) is not None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {key: REDACTED if _is_secret(str(key), item) else _clean(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    return value


def _bounded(attributes: dict[str, Any]) -> str:
    encoded = orjson.dumps(attributes)
    if len(encoded) <= MAX_ATTRIBUTES_BYTES:
        return encoded.decode()
    cut = {key: _cut(value) for key, value in attributes.items()}
    while len(encoded := orjson.dumps(cut)) > MAX_ATTRIBUTES_BYTES:
        longest = max(cut, key=lambda key: len(orjson.dumps(cut[key])) + len(key))
        del cut[longest]
        cut["attributes_dropped"] = int(cut.get("attributes_dropped", 0)) + 1
    return encoded.decode()


def _cut(value: Any) -> Any:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if len(text) <= MAX_VALUE_CHARACTERS:
        return value
    return text[:MAX_VALUE_CHARACTERS] + "…"
