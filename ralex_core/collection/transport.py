"""One keep-alive HTTP connection to a monitor, and what its answers mean. Imported by the sending thread only."""

from __future__ import annotations

import gzip
import http.client
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import orjson

from ralex_core import __version__
from ralex_core.collection.sdk_settings import OPERATIONS_PATH, is_loopback

CONNECT_TIMEOUT_S = 5.0
MAX_RETRY_AFTER_S = 300.0
_NOT_THIS_BATCH = (401, 402, 403, 404, 405, 407)
"""Answers that are about our address or token, whatever the batch: an operator can put them right."""

Meaning = Literal["taken", "later", "misdirected", "too_large", "refused"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said of a batch."""

    meaning: Meaning
    message: str = ""
    retry_after_s: float | None = None
    stored: int | None = None
    """How many lines are stored now (new or before), when the server said so; only with `taken`."""
    status: int | None = field(default=None, compare=False)
    """Of a server that is `misdirected` to."""
    rejected: tuple[tuple[int, str], ...] = ()
    """Lines that were not taken, as (index in the batch, reason), perhaps not all of them; only with `taken`."""


class Transport:
    """Posts NDJSON. Not thread-safe: it belongs to the sending thread."""

    def __init__(self, endpoint: str, token: str | None, *, timeout_s: float) -> None:
        """Raises ValueError when the endpoint is not an http or https URL with a host."""
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"endpoint {endpoint!r} must look like http://127.0.0.1:8000")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        self._path = parts.path.rstrip("/") + OPERATIONS_PATH
        self._connect_timeout_s = min(CONNECT_TIMEOUT_S, timeout_s)
        self._timeout_s = timeout_s
        self._compress = not is_loopback(endpoint)
        self._headers = {
            "Content-Type": "application/x-ndjson",
            "Accept": "application/json",
            "X-Ralex-Door": "sdk",
            "User-Agent": f"ralex-monitor-sdk/{__version__}",
        }
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        if self._compress:
            self._headers["Content-Encoding"] = "gzip"
        self._connection: http.client.HTTPConnection | None = None

    def limit_to(self, timeout_s: float) -> None:
        """Wait no longer than this from now on, for a connection or for an answer."""
        self._connect_timeout_s = min(self._connect_timeout_s, timeout_s)
        self._timeout_s = min(self._timeout_s, timeout_s)
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.settimeout(self._timeout_s)

    def post(self, payload: bytes) -> Answer:
        """Send a batch and read the answer. Network trouble is an answer too: `later`."""
        # Level 1: on a network a tenth of the bytes is worth 5 µs an operation; on loopback it is not.
        body = gzip.compress(payload, 1) if self._compress else payload
        for fresh in (self._connection is None, True):
            try:
                return self._exchange(body)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # A kept-alive connection the server has closed meanwhile says nothing about the server: ask once more.
                if fresh or isinstance(error, TimeoutError):
                    return Answer("later", f"{type(error).__name__}: {error}")
        raise AssertionError("the second attempt is always fresh")

    def _exchange(self, body: bytes) -> Answer:
        connection = self._connection or self._connect()
        connection.request("POST", self._path, body=body, headers=self._headers)
        response = connection.getresponse()
        content = response.read()
        if response.will_close:
            self.close()
        is_page = "html" in (response.headers.get("Content-Type") or "")
        return interpret(response.status, content, response.headers.get("Retry-After"), is_page=is_page)

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._connect_timeout_s)
        connection.connect()
        connection.sock.settimeout(self._timeout_s)
        self._connection = connection
        return connection

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def after_fork(self) -> None:
        """The connection is the parent's: closing our copy of the descriptor does not end it."""
        self.close()


def interpret(status: int, content: bytes, retry_after: str | None, *, is_page: bool = False) -> Answer:
    """What a response means for the batch that was sent. `is_page`: the answer is HTML, so it is not a monitor's."""
    body = _json(content)
    message = _message(body) or f"HTTP {status}"
    if 200 <= status < 300 and not is_page:
        return Answer("taken", stored=_stored(body), rejected=_rejected(body))
    if status < 400 or status in _NOT_THIS_BATCH:
        return Answer("misdirected", message, status=status)
    if status in (408, 425, 429) or status >= 500:
        return Answer("later", message, retry_after_s=_seconds(retry_after))
    return Answer("too_large" if status == 413 else "refused", message)


def _json(content: bytes) -> dict[str, Any]:
    try:
        body: Any = orjson.loads(content)
    except ValueError:
        return {}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}


def _message(body: dict[str, Any]) -> str:
    error: Any = body.get("error")
    return str(cast("dict[str, Any]", error).get("message", "")) if isinstance(error, dict) else ""


def _stored(body: dict[str, Any]) -> int | None:
    try:
        return int(body["data"]["accepted"]) + int(body["data"]["duplicates"])
    except (KeyError, TypeError, ValueError):
        return None


def _rejected(body: dict[str, Any]) -> tuple[tuple[int, str], ...]:
    """`data.rejected` of the answer, without what is malformed in it."""
    try:
        return tuple((int(item["index"]), str(item["reason"])) for item in body["data"]["rejected"])
    except (KeyError, TypeError, ValueError):
        return ()


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` as seconds from now, in either of its two forms."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            at = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        seconds = (at - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S) if seconds == seconds else None
