"""A real HTTP server that takes operations as a monitor does, answers as told, and can die and come back."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple

from ralex_core.collection import tables

WITHIN_S = 20.0


class Request(NamedTuple):
    """One POST as it arrived; `lines` are its operations."""

    path: str
    headers: dict[str, str]
    lines: list[dict[str, Any]]


class Reply(NamedTuple):
    """What to answer; `hang_up` closes the connection instead."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = MappingProxyType({})
    hang_up: bool = False


Script = Callable[[Request], Reply]


def take_all(request: Request) -> Reply:
    return Reply(200, {"data": {"accepted": len(request.lines), "duplicates": 0, "rejected": []}})


class Receiver:
    """Stores what it accepted by operation id, the highest revision winning, and every request in order."""

    def __init__(self, script: Script = take_all, port: int = 0) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.stored: dict[str, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._port = port
        self._server: ThreadingHTTPServer | None = None
        self._connections: set[Any] = set()
        self.connections_seen: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Receiver:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; the second time on the same port."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                receiver._connections.add(self.connection)
                receiver.connections_seen.append(self.client_address)

            def finish(self) -> None:
                receiver._connections.discard(self.connection)
                super().finish()

            def do_POST(self) -> None:
                receiver._answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that was killed in mid-request is part of the tests

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Die: stop listening and cut every connection."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            for connection in list(self._connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Request(handler.path, headers, [json.loads(line) for line in tables.lines(body)])
        reply = self.script(request)
        with self._changed:
            self.requests.append(request)
            if reply.status == 200 and not reply.hang_up:
                self._store(request, reply)
            self._changed.notify_all()
        if reply.hang_up:
            handler.close_connection = True
            return
        content = json.dumps(reply.body).encode() if not isinstance(reply.body, bytes) else reply.body
        handler.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def _store(self, request: Request, reply: Reply) -> None:
        data = reply.body.get("data", {}) if isinstance(reply.body, dict) else {}
        refused = {item["index"] for item in data.get("rejected", ())}
        for index, line in enumerate(request.lines):
            before = self.stored.get(line["operation_id"])
            is_newer = before is None or line.get("revision", 0) > before.get("revision", 0)
            if index not in refused and is_newer:
                self.stored[line["operation_id"]] = line

    def wait_until(self, condition: Callable[[], bool], what: str = "the condition") -> None:
        """Wait for something that becomes true when a request arrives. Fails after `WITHIN_S`."""
        with self._changed:
            assert self._changed.wait_for(condition, WITHIN_S), f"{what} did not come about within {WITHIN_S} s"

    def wait_for(self, operations: int) -> None:
        """Wait until that many distinct operations are stored."""
        self.wait_until(lambda: len(self.stored) >= operations, f"{operations} stored operations ({len(self.stored)})")

    def names(self) -> list[str]:
        """Names of the stored operations, in the order of arrival."""
        return [line["name"] for line in self.stored.values()]
