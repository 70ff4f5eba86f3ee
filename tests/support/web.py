"""A real HTTP server that tells what it was sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Seen(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]


class Web:
    """`/status/N` answers N, `/to/URL` redirects, `/parts` answers in five parts, `/cut` breaks off in the middle.

    `/flaky` answers 503 twice, then 200. Everything else answers 200 with "hello".
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.flaky = 0
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                web.seen.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
                web._answer(self)

            do_POST = do_PUT = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # clients that hang up are part of the tests

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        status, body, path = 200, b"hello", handler.path
        if path.startswith("/status/"):
            status = int(path[8:])
        elif path == "/flaky":
            self.flaky += 1
            status = 503 if self.flaky < 3 else 200
        handler.send_response(302 if path.startswith("/to/") else status)
        if path.startswith("/to/"):
            handler.send_header("Location", path[4:])
        if path in ("/parts", "/cut"):
            handler.send_header("Content-Length", "25")
            handler.end_headers()
            for _ in range(5 if path == "/parts" else 2):
                handler.wfile.write(b"part ")
                handler.wfile.flush()
                time.sleep(0.002)
            handler.close_connection = True
            return
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@contextmanager
def serving() -> Iterator[Web]:
    web = Web()
    thread = threading.Thread(target=web._server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web._server.shutdown()
        web._server.server_close()
