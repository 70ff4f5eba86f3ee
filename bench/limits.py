"""Hostile requests at a real server: what each is answered, how long that takes, and the most memory the server held.

    python bench/limits.py

Prints a line for each input: status, seconds, and peak RSS of the server (VmHWM) after it, in MB.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.server import HOST, Server, running

BODY_BYTES = 60_000_000
JSON_BODY = {"Content-Type": "application/json"}


def peak_mb(server: Server) -> float:
    """Peak resident memory of the server since it started."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def raw(server: Server, pieces: Iterator[bytes]) -> int:
    """Status of what is answered to bytes, which stop being sent when the server hangs up."""
    with socket.create_connection((HOST, server.port), timeout=60) as connection:
        with contextlib.suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
        with contextlib.suppress(OSError):
            return int(connection.recv(65536).split(b" ", 2)[1])
    return 0


def post(
    server: Server, body: bytes, *, path: str = "/api/v1/operations", packed: bool = False, kind: str = "json"
) -> int:
    headers = {"Content-Type": f"application/{kind}"}
    if packed:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, 1)
    return server.request("POST", path, body, headers, timeout=300).status


def many_headers(server: Server) -> int:
    start = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    return raw(server, (start if n == 0 else b"X: 1\r\n" * 3000 for n in range(1001)))


def records(**fields: object) -> bytes:
    return json.dumps([{"name": "chat", **fields}] * 10_000).encode()


def large(text: str) -> bytes:
    record = json.dumps({"name": "chat", "attributes": {"note": text}}).encode()
    return b"[" + b",".join([record] * (BODY_BYTES // (len(record) + 1))) + b"]"


def at_once(server: Server, count: int, send: Callable[[], int]) -> int:
    """The worst status of some requests at the same time."""
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(send())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(found)


def beside_stalled(server: Server, count: int) -> int:
    """Status of a small request while bodies stall."""
    head = b"POST /api/v1/operations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000000\r\n\r\n"
    with contextlib.ExitStack() as undo:
        for _ in range(count):
            connection = undo.enter_context(socket.create_connection((HOST, server.port), timeout=60))
            connection.sendall(head + b"[" * 100_000)
        return post(server, b'{"name":"meanwhile"}')


INPUTS: dict[str, Callable[[Server], int]] = {
    "3 M headers": many_headers,
    "one header of 50 MB": lambda server: raw(
        server, (b"GET / HTTP/1.1\r\nX: " if n == 0 else b"a" * 500_000 for n in range(101))
    ),
    "a small request beside 1,000 stalled bodies": lambda server: beside_stalled(server, 1000),
    "10,000 records, a field misspelt": lambda server: post(server, records(modle="x")),
    "10,000 records, a long unknown field": lambda server: post(server, records(**{"m" * 3000: 1})),
    "2 M {} in gzip": lambda server: post(server, b"{}\n" * 2_000_000, packed=True, kind="x-ndjson"),
    "2 M {} in gzip, an array": lambda server: post(server, b"[" + b"{}," * 2_000_000 + b"{}]", packed=True),
    "3 M empty gzip members": lambda server: (
        server.request(
            "POST",
            "/api/v1/operations",
            gzip.compress(b"") * 3_000_000,
            {**JSON_BODY, "Content-Encoding": "gzip"},
            timeout=300,
        ).status
    ),
    "60 MB of records with long texts": lambda server: post(server, large("x" * 7000)),
    "60 MB of short records": lambda server: post(server, large("x")),
    "60 MB of empty OTLP messages": lambda server: post(
        server, b"\x0a\x00" * 30_000_000, path="/v1/traces", kind="x-protobuf"
    ),
    "60 MB of OTLP JSON": lambda server: post(
        server, b'{"resourceSpans":[' + b"{}," * 20_000_000 + b"{}]}", path="/v1/traces"
    ),
    "four of 60 MB with long texts at once": lambda server: at_once(server, 4, lambda: post(server, large("y" * 7000))),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, running(Path(directory) / "home") as server:
        print(f"{'started':48} {'':5} {'':7} {peak_mb(server):6.0f} MB")
        for name, throw in INPUTS.items():
            began = time.perf_counter()
            status = throw(server)
            print(f"{name:48} {status:5} {time.perf_counter() - began:6.2f}s {peak_mb(server):6.0f} MB", flush=True)


if __name__ == "__main__":
    main()
