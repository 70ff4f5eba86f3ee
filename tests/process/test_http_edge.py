"""What the server does with requests that are too long, too slow or odd, over raw sockets."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from collections.abc import Iterator

import pytest

from tests.support.server import HOST, Server, running
from tests.support.stored import stored_ids

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("edge") / "home") as started:
        yield started


def said(server: Server, *parts: bytes) -> bytes:
    """All that comes back until the server closes or 15 s pass; a part is sent after the one before it."""
    with socket.create_connection((HOST, server.port), timeout=15) as connection:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        found = b""
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65536):
                found += data
        return found


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def head(*lines: str, path: str = "/api/v1/operations", method: str = "POST") -> bytes:
    host = f"Host: {HOST}"
    return "\r\n".join([f"{method} {path} HTTP/1.1", host, *lines, "", ""]).encode("latin-1")


def one(identity: str) -> bytes:
    return json.dumps({"operation_id": identity, "name": "chat", "started_at": "2026-11-05T12:00:00Z"}).encode()


@pytest.mark.parametrize(
    "lines",
    [
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAA"),
        ("Connection: Upgrade", "Upgrade: TLS/1.0"),
        ("Connection: upgrade", "Upgrade: websocket"),
        ("Connection: upgrade", "Upgrade: foo, h2c", "Upgrade: bar"),
    ],
    ids=["h2c as the JDK sends it", "TLS", "websocket on a POST", "several"],
)
@pytest.mark.parametrize("way", ["length", "chunked", "in two writes"])
def test_an_offer_to_upgrade_that_is_not_taken_leaves_the_body(
    server: Server, request: pytest.FixtureRequest, lines: tuple[str, ...], way: str
) -> None:
    body = one(request.node.name)
    if way == "chunked":
        start = head(*lines, "Transfer-Encoding: chunked")
        parts = [start + b"%x\r\n" % len(body) + body + b"\r\n0\r\nX-Trailer: 1\r\n\r\n"]
    else:
        start = head(*lines, f"Content-Length: {len(body)}")
        parts = [start, body] if way == "in two writes" else [start + body]
    # a second request on the same connection is read too
    answer = said(server, *parts, head("Connection: close", method="GET", path="/healthz"))
    assert status(answer) == 200 and b'"accepted":1' in answer, answer
    assert answer.count(b"HTTP/1.1 200") == 2


def test_a_request_without_a_body_that_offers_to_upgrade_is_answered(server: Server) -> None:
    answer = said(
        server,
        head("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", method="GET", path="/healthz"),
        head("Connection: close", method="GET", path="/healthz"),
    )
    assert answer.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize("size", [60_000, 70_000, 200_000, 400_000])
def test_a_long_body_may_come_with_its_head_in_one_go(server: Server, size: int) -> None:
    padding = " " * size
    body = json.dumps({"operation_id": f"long-{size}", "name": "chat", "started_at": "2026-11-05T12:00:00Z"}).encode()
    body = body[:-1] + padding.encode() + b"}"
    whole = head("Content-Type: application/json", f"Content-Length: {len(body)}") + body
    last = head("Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close") + body
    answers = said(server, whole + last)
    assert answers.count(b"HTTP/1.1 200") == 2, answers[:500]


def test_a_body_waits_for_100_continue(server: Server) -> None:
    body = one("expects")
    with socket.create_connection((HOST, server.port), timeout=15) as connection:
        connection.sendall(head("Expect: 100-continue", f"Content-Length: {len(body)}", "Connection: close"))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert b'"accepted":1' in b"".join(iter(lambda: connection.recv(65536), b""))


WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: " + "a" * 22 + "==",
)


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (head(path="/" + "a" * 9000, method="GET"), 414),
        (head(*WEBSOCKET, path="/api/v1/ws?" + "a" * 9000, method="GET"), 414),
        (head(*WEBSOCKET, "Cookie: " + "a" * 9000, path="/api/v1/ws", method="GET"), 431),
        (head("X: " + "a" * 70_000), 431),
        (head(*["X: 1"] * 121), 431),
        (head()[:-2] + b"X: 1\r\n" * 200_000, 431),
        (head()[:-2] + b"X: " + b"a" * 2_000_000, 431),
        (b"GET /" + b"a" * 2_000_000, 414),
        (head("Transfer-Encoding: chunked") + b"0\r\n" + b"X: 1\r\n" * 100_000, 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        (head("Content-Length: 1", "Content-Length: 2"), 400),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 405),
    ],
    ids=[
        "long address",
        "long address of a WebSocket",
        "long header of a WebSocket",
        "long header",
        "many headers",
        "endless headers",
        "endless header",
        "endless address",
        "endless trailers",
        "TLS",
        "two lengths",
        "CONNECT",
    ],
)
def test_a_head_beyond_its_limits_is_answered_with_its_status(
    server: Server, request_bytes: bytes, expected: int
) -> None:
    answer = said(server, request_bytes)
    assert status(answer) == expected, answer[:200]
    assert b"x-content-type-options: nosniff" in answer and b"content-security-policy" in answer
    assert b"connection: close" in answer


def test_a_body_that_stalls_is_given_up_and_blocks_nobody(server: Server) -> None:
    stalled = [socket.create_connection((HOST, server.port), timeout=30) for _ in range(8)]
    try:
        for connection in stalled:
            connection.sendall(head("Content-Length: 60000000") + b"[" * 1000)
        assert server.send([{"name": "meanwhile"}]).status == 200
        for connection in stalled:
            assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
    finally:
        for connection in stalled:
            connection.close()


@pytest.mark.parametrize(
    "origin", ["http://[", "http://[::1", "//[", "http://]"], ids=["bracket", "cut", "no scheme", "closing"]
)
@pytest.mark.parametrize("path", ["/api/v1/operations", "/gateway/openai/v1/chat/completions"])
def test_an_origin_that_is_none_is_refused(server: Server, origin: str, path: str) -> None:
    answer = server.request("POST", path, b"{}", {"Origin": origin})
    assert answer.status == 403
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/gateway/project/x", "/gateway/user/a/session/b", "/gateway/", "/gateway/openai"])
def test_an_incomplete_path_of_the_gateway_is_404(server: Server, path: str) -> None:
    answer = server.request("POST", path, b"{}")
    assert answer.status == 404
    assert "content-security-policy" in answer.headers and answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"[" + b"{}," * 2_000_000 + b"{}]", "application/json"),
        (b"{}\n" * 2_000_000, "application/x-ndjson"),
        (b"\n" * 60_000_000, "application/x-ndjson"),
        (b"[" + b"[]," * 300_000 + b"1]", "application/json"),
        (b'{"common":{},"columns":["name"],"rows":[' + b'["a"],' * 150_000 + b'["a"]]}', "application/x-ndjson"),
    ],
    ids=["array", "lines", "blank lines", "arrays", "table"],
)
@pytest.mark.parametrize("door", ["operations", "litellm"])
def test_too_many_records_are_413(server: Server, content: bytes, content_type: str, door: str) -> None:
    if door == "litellm" and b"common" in content:
        content = content.split(b'"rows":')[1][:-1]
    headers = {"Content-Type": content_type, "Content-Encoding": "gzip"}
    answer = server.request("POST", f"/api/v1/{door}", gzip.compress(content, 1), headers)
    assert answer.status == 413, answer
    assert "smaller batches" in answer.json()["error"]["message"]


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_an_otlp_request_of_empty_messages_is_413(server: Server, signal: str) -> None:
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    answer = server.request("POST", f"/v1/{signal}", gzip.compress(b"\x0a\x00" * 3_000_000, 1), headers)
    assert answer.status == 413, answer


def test_empty_gzip_members_are_413(server: Server) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = server.request("POST", "/api/v1/operations", gzip.compress(b"") * 100_000, headers)
    assert answer.status == 413
    assert "members" in answer.json()["error"]["message"]


def test_what_was_acknowledged_is_stored(server: Server) -> None:
    assert server.stop() == 0, server.log()
    assert "expects" in stored_ids(server.home)
