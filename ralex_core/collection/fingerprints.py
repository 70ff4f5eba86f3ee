"""What is kept of text that is dropped: keyed digests, by which repeated work and kept lines are found.

The key belongs to this installation and never leaves its data directory. A plain hash of a short line could be
guessed by hashing likely lines; a keyed one cannot.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, cast

import orjson

from ralex_core.config import FINGERPRINT_KEY_FILE
from ralex_core.errors import ConfigError
from ralex_core.private_files import private_directory

KEY_BYTES = 32
DIGEST_BYTES = 8
"""64 bits: among a million different texts, two share a digest with a chance of 1 in 37 million."""
MAX_LINES = 200
"""Lines of one edit that have a fingerprint of their own."""
SHORTEST_LINE = 4
"""Characters. Shorter lines (a bracket) stand in every file."""
MAX_CHARACTERS = 256 * 1024
"""What is read of one text."""


_DIGEST = re.compile(rf"[0-9a-f]{{{2 * DIGEST_BYTES}}}")


def is_fingerprint(value: Any) -> bool:
    """Whether a value is a digest or a list of digests, as they are made here."""
    if isinstance(value, str):
        return _DIGEST.fullmatch(value) is not None
    if not isinstance(value, list):
        return False
    digests = cast("list[Any]", value)
    return len(digests) <= MAX_LINES and all(isinstance(item, str) and _DIGEST.fullmatch(item) for item in digests)


class Fingerprints:
    """Digests under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of_text(self, value: Any) -> str | None:
        """The digest of a text, or of a JSON value: 16 hexadecimal digits; None when it is blank.

        White space and the order of keys do not matter; text that is JSON counts as the value it spells.
        """
        text = _normalised(value)
        return self._digest(text) if text else None

    def of_lines(self, value: Any) -> list[str]:
        """The digests of the lines of a text or of a list of texts, without those that say nothing, in order."""
        if isinstance(value, str):
            pieces: Iterable[Any] = [value]
        else:
            pieces = cast("list[Any]", value) if isinstance(value, list) else []
        found: list[str] = []
        for piece in pieces:
            if not isinstance(piece, str):
                continue
            for line in piece[:MAX_CHARACTERS].splitlines():
                text = " ".join(line.split())
                if len(text) >= SHORTEST_LINE:
                    found.append(self._digest(text))
                    if len(found) == MAX_LINES:
                        return found
        return found

    def of_bytes(self, line: bytes) -> str:
        """The digest of a line as it is."""
        return hmac.digest(self._key, line, "sha256")[:DIGEST_BYTES].hex()

    def pseudonym(self, text: str) -> str:
        """A name for what may not be stored itself: the same text has the same one."""
        return f"redacted-{self._digest(text)}"

    def _digest(self, text: str) -> str:
        return self.of_bytes(text.encode("utf-8", "replace"))


def _normalised(value: Any) -> str:
    if isinstance(value, str):
        value = value[:MAX_CHARACTERS]
        if value.lstrip()[:1] not in ("{", "["):
            return " ".join(value.split())
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return " ".join(value.split())
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()[:MAX_CHARACTERS]
    except TypeError:  # nested deeper than anything is read
        return ""


def of_installation(home: Path) -> Fingerprints:
    """Those of the data directory, whose key is made when there is none.

    Raises:
        ConfigError: the key cannot be read or written, or is none.
    """
    path = home / FINGERPRINT_KEY_FILE
    try:
        private_directory(home)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
        except FileExistsError:
            pass
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read or written: {error.strerror or error}.") from error
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"{path} is damaged: it holds {len(key)} bytes, not {KEY_BYTES}. Restore it from a backup, or remove it; "
            "repeated work is then not found across the two keys."
        )
    return Fingerprints(key)


@cache
def of_process() -> Fingerprints:
    """Those of a key that ends with the process."""
    return Fingerprints(secrets.token_bytes(KEY_BYTES))
