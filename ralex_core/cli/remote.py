"""Talks to the running server, because one process owns the stores: every other command goes through it."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import urlsplit

from ralex_core.cli.wire import as_line
from ralex_core.collection.redaction import Redaction
from ralex_core.config import Settings
from ralex_core.errors import ConfigError, IntakeFull, RalexError, ServerUnreachable
from ralex_core.model.operation import Operation
from ralex_core.private_files import open_private
from ralex_core.runtime.server_file import read_server_file
from ralex_core.storage.telemetry import WriteResult

PROBE_TIMEOUT_S = 10.0
"""A server that runs answers its status within this, or is taken for hung."""
COPY_BYTES = 1 << 20
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

    def health(self) -> list[dict[str, Any]]:
        """Why the server cannot take data now, the gravest first; empty when it can."""
        response = self._request("GET", "/readyz", b"", {})
        return json.loads(response.read())["reasons"]

    def post(self, path: str, document: object = None) -> Any:
        """The JSON a POST of a JSON document answers, without its envelope."""
        return self._ask("POST", path, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def put(self, path: str, document: object) -> Any:
        """The JSON a PUT of a JSON document answers, without its envelope."""
        return self._ask("PUT", path, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def delete(self, path: str) -> Any:
        """The JSON a DELETE answers, without its envelope."""
        return self._ask("DELETE", path, None, {})

    def send(self, lines: bytes, door: str = "api") -> dict[str, Any]:
        """Deliver operations as NDJSON; returns `accepted`, `duplicates` and `rejected` after the commit."""
        headers = {"Content-Type": "application/x-ndjson", "X-Ralex-Door": door}
        return self._ask("POST", "/api/v1/operations", lines, headers)

    def send_patiently(self, lines: bytes, door: str = "api") -> dict[str, Any]:
        """`send`, again whenever a full server says to, until it takes them."""
        while True:
            try:
                return self.send(lines, door)
            except IntakeFull as full:
                sleep(full.retry_after_s)

    def download(self, path: str, target: Path) -> None:
        """Write what a POST answers to `target`, which appears under its name only when it is complete.

        Raises:
            ConfigError: the target exists, or cannot be written.
        """
        if target.exists():
            raise ConfigError(f"{target} exists already. Choose another name; nothing is overwritten.")
        partial = target.with_name(target.name + ".partial")
        try:
            response = self._request("POST", path, b"", {})
            if response.status != http.client.OK:
                _opened(self.url, response.status, response.getheader("Retry-After"), response.read())
            try:
                with open_private(partial, "wb") as file:
                    shutil.copyfileobj(response, file, COPY_BYTES)
                partial.replace(target)
            except OSError as error:
                raise ConfigError(f"{target} cannot be written: {error.strerror or error}.") from error
        finally:
            partial.unlink(missing_ok=True)

    def close(self) -> None:
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        response = self._request(method, path, body, headers)
        try:
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        return _opened(self.url, response.status, response.getheader("Retry-After"), answer)

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> http.client.HTTPResponse:
        try:
            self._connection.request(method, path, body, {**self._headers, **headers})
            return self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        self._connection.close()
        return ServerUnreachable(
            f"No monitor answers at {self.url} ({error or type(error).__name__}). Start one: ralex-monitor serve"
        )


class ServerDoor:
    """The way into storage through a running server; fulfils `importers.runner.Door`.

    One thread sends while the caller reads on.
    """

    def __init__(self, server: RunningServer, redaction: Redaction) -> None:
        """`redaction` is that of the data directory the server owns."""
        self.redaction = redaction
        self._server = server
        self._sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sender")

    def submit(self, operations: Sequence[Operation]) -> Future[WriteResult]:
        """Send operations. The future resolves after the server's commit; while its queue is full it waits.

        It raises RalexError when the server does not take an operation; the others of the batch are stored then.
        """
        return self._sender.submit(self._deliver, operations)

    def close(self) -> None:
        """Wait for what was submitted, and let the connection go."""
        self._sender.shutdown()
        self._server.close()

    def _deliver(self, operations: Sequence[Operation]) -> WriteResult:
        if not operations:
            return WriteResult(0, 0, 0)
        answer = self._server.send_patiently(b"".join(map(as_line, operations)), "importer")
        wrong = [one for one in answer["rejected"] if EXPIRED_MARK not in one["reason"]]
        if wrong:
            first: dict[str, Any] = wrong[0]
            identifier = operations[int(first["index"])].operation_id
            raise RalexError(
                f"The server refused {len(wrong)} operations; the first was {identifier}: {first['reason']}"
            )
        taken = answer["accepted"] + answer["duplicates"]
        expired = len(operations) - taken
        return WriteResult(answer["accepted"], 0, answer["duplicates"], expired=expired)


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
