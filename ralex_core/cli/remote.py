"""Talks to the running server, because one process owns the stores: every other command goes through it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit

from ralex_core.cli.wire import as_line
from ralex_core.config import Settings
from ralex_core.errors import IntakeFull, RalexError, ServerUnreachable
from ralex_core.model.operation import Operation
from ralex_core.runtime.server_file import read_server_file
from ralex_core.storage.telemetry import WriteResult

PROBE_TIMEOUT_S = 10.0
"""A server that runs answers its status within this, or is taken for hung."""
ANSWER_TIMEOUT_S = 300.0
"""A backup of a large store is the slowest answer there is."""


EXPIRED_MARK = "retention_days"
"""In the reason of an operation that is older than what is kept: not taken, and nobody's mistake."""


class RunningServer:
    """One connection to a monitor's HTTP API. Not for use by several threads.

    Every method raises ServerUnreachable when nothing answers, IntakeFull on 503, and RalexError with the server's own
    sentence on any other refusal.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServerUnreachable(f"{url!r} is not an address such as http://127.0.0.1:8000.")
        self.url = f"{parts.scheme}://{parts.netloc}"
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.netloc, timeout=timeout_s)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str) -> Any:
        """The JSON a GET answers, without its envelope."""
        return self._ask("GET", path, None, {})

    def post(self, path: str, document: object = None) -> Any:
        """The JSON a POST of a JSON document answers, without its envelope."""
        return self._ask("POST", path, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def send(self, lines: bytes, door: str = "api") -> dict[str, Any]:
        """Deliver operations as NDJSON; returns `accepted`, `duplicates` and `rejected` after the commit."""
        headers = {"Content-Type": "application/x-ndjson", "X-Ralex-Door": door}
        return self._ask("POST", "/api/v1/operations", lines, headers)

    def close(self) -> None:
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        try:
            self._connection.request(method, path, body, {**self._headers, **headers})
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ServerUnreachable(
                f"No monitor answers at {self.url} ({error or type(error).__name__}). Start one: ralex-monitor serve"
            ) from error
        return _opened(self.url, response.status, response.getheader("Retry-After"), answer)


class ServerDoor:
    """The way into storage through a running server; fulfils `importers.runner.Door`."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server

    def submit(self, operations: Sequence[Operation]) -> Future[WriteResult]:
        """Send operations; the future is done when this returns, after the server's commit.

        Raises:
            IntakeFull: the server's queue is full; nothing was taken.
            RalexError: the server does not take one of them; the rest is stored.
        """
        done: Future[WriteResult] = Future()
        if not operations:
            done.set_result(WriteResult(0, 0, 0))
            return done
        answer = self._server.send(b"".join(map(as_line, operations)), "importer")
        wrong = [one for one in answer["rejected"] if EXPIRED_MARK not in one["reason"]]
        if wrong:
            first: dict[str, Any] = wrong[0]
            identifier = operations[int(first["index"])].operation_id
            raise RalexError(
                f"The server refused {len(wrong)} operations; the first was {identifier}: {first['reason']}"
            )
        taken = answer["accepted"] + answer["duplicates"]
        expired = len(operations) - taken
        done.set_result(WriteResult(answer["accepted"], 0, answer["duplicates"], expired=expired))
        return done


def running_server(settings: Settings) -> RunningServer | None:
    """The server that owns the data directory; None when none runs, so that the stores may be opened directly.

    Raises:
        RalexError: something answers at its address that is not a monitor.
    """
    address = read_server_file(settings.home)
    if address is None:
        return None
    probe = RunningServer(address.url, settings.token, PROBE_TIMEOUT_S)
    try:
        probe.get("/api/v1/status")
    except ServerUnreachable:
        return None  # left by a killed server whose process id another program has now
    finally:
        probe.close()
    return RunningServer(address.url, settings.token)


def _opened(url: str, status: int, retry_after: str | None, answer: bytes) -> Any:
    """What is inside the envelope of an answer, or the error it carries."""
    try:
        document: Any = json.loads(answer)
    except ValueError:
        raise RalexError(f"{url} answered {status} with something that is not JSON. Is it a Ralex Monitor?") from None
    if 200 <= status < 300:
        return document["data"] if isinstance(document, dict) and set(document) == {"data"} else document  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    try:
        message = str(document["error"]["message"])
    except (KeyError, TypeError):
        message = f"{url} refused with status {status}."
    if status == http.client.SERVICE_UNAVAILABLE:
        raise IntakeFull(message, int(retry_after) if retry_after and retry_after.isdigit() else 1)
    if status == http.client.UNAUTHORIZED:
        message += " Set RALEX_MONITOR_TOKEN."
    raise RalexError(message)
