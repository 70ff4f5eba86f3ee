"""Whatever is stuck, a signal ends the server within ten seconds, and nothing acknowledged is lost."""

from __future__ import annotations

import http.client
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.support.server import HOST, Server, running
from tests.support.stored import stored_ids

pytestmark = pytest.mark.process

PROMISED_S = 10.0
"""What the docs promise, and so the deadline these tests wait with; no figure of speed."""
STUCK, TWICE = 70, 130
WEDGED = (sys.executable, "-m", "tests.support.wedged")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "home", executable=WEDGED, extra_environment={"PYTHONPATH": str(Path.cwd())}) as started:
        yield started


def operations(count: int) -> list[dict[str, object]]:
    started_at = time.time_ns() // 1000
    return [{"operation_id": f"op-{n}", "name": "chat", "started_at": started_at + n} for n in range(count)]


def begin(
    server: Server, method: str, path: str, body: bytes = b"", content_type: str = ""
) -> http.client.HTTPConnection:
    """Send a request whose answer nobody waits for."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    connection.request(method, path, body, {"Content-Type": content_type} if content_type else {})
    return connection


def decoder(server: Server, open_: ExitStack) -> str:
    open_.enter_context(closing(begin(server, "POST", "/wedge/v1/traces", b'{"resourceSpans":[]}', "application/json")))
    return "/v1/traces"


def writer(server: Server, open_: ExitStack) -> str:
    assert server.request("POST", "/wedge/writer").status == 200
    return "a task between commits"


def worker(server: Server, open_: ExitStack) -> str:
    open_.enter_context(closing(begin(server, "POST", "/wedge/worker")))
    return ""


def event_loop(server: Server, open_: ExitStack) -> str:
    open_.enter_context(closing(begin(server, "POST", "/wedge/lock")))
    return "held.acquire"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("wedge", [decoder, writer, worker, event_loop])
def test_a_thread_that_never_returns_does_not_keep_the_server_from_ending(
    server: Server, wedge: Callable[[Server, ExitStack], str], number: signal.Signals
) -> None:
    assert server.send(operations(50)).status == 200
    with ExitStack() as open_:
        what = wedge(server, open_)
        if wedge is not event_loop:
            assert server.request("GET", "/healthz").status == 200
        server.send_signal(number)
        assert server.wait(PROMISED_S) == STUCK, server.log()
    said = server.log()
    assert "did not end within" in said
    assert what in said
    assert "File " in said, "the stack of what is stuck"
    assert not (server.home / "server.json").exists()
    assert len(stored_ids(server.home)) == 50


def test_connections_that_never_end_are_cut_and_the_end_is_clean(server: Server) -> None:
    assert server.send(operations(5)).status == 200
    with ExitStack() as open_:
        half = open_.enter_context(socket.create_connection((HOST, server.port)))
        half.sendall(
            b"POST /api/v1/operations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n[{"
        )
        head = open_.enter_context(socket.create_connection((HOST, server.port)))
        head.sendall(b"GET / HTTP/1.1\r\nHos")
        live = open_.enter_context(socket.create_connection((HOST, server.port)))
        live.sendall(
            b"GET /ws/monitoring HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert live.recv(4096).startswith(b"HTTP/1.1 101")
        stream = open_.enter_context(closing(begin(server, "GET", "/wedge/forever")))
        assert stream.getresponse().readline() == b"still here\n"
        server.send_signal(signal.SIGTERM)
        assert server.wait(PROMISED_S) == 0, server.log()
    assert len(stored_ids(server.home)) == 5


def test_a_second_ctrl_c_ends_at_once(server: Server) -> None:
    assert server.send(operations(5)).status == 200
    writer(server, ExitStack())
    server.send_signal(signal.SIGINT)
    refused = threading.Event()

    def until_refused() -> None:
        while not refused.is_set():
            try:
                socket.create_connection((HOST, server.port), timeout=1).close()
            except OSError:
                refused.set()

    thread = threading.Thread(target=until_refused, daemon=True)
    thread.start()
    assert refused.wait(PROMISED_S), "the first one was not heard"
    server.send_signal(signal.SIGINT)
    assert server.wait(PROMISED_S) == TWICE, server.log()
    assert "did not end within" not in server.log()
    assert len(stored_ids(server.home)) == 5


def test_a_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    server = Server(tmp_path / "home")
    try:
        server.spawn()
        deadline = time.monotonic() + PROMISED_S
        while not server.home.exists() and time.monotonic() < deadline:
            assert server.wait(0.01) is None, server.log()
        server.send_signal(signal.SIGTERM)
        assert server.wait(PROMISED_S) == 0, server.log()
    finally:
        server.close()
