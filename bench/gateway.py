"""What the gateway adds to a call, with full accounting on, beside a bare pass-through in the same run.

The upstream answers at once, so all that is measured is on the way. `proxy_load.py` takes turns between the upstream
itself and what stands before it. Ends with an error unless every call is recorded, once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import peers
from bench.figure import Figure, median, report
from bench.reference import measured, script
from tests.support.server import Server, free_port, running
from tests.support.stored import stored_ids

BARE = "a bare aiohttp pass-through in the same run"
LIMIT = "the limit"
WITHIN_S = 20.0


@contextlib.contextmanager
def started(name: str, port: int, *arguments: str, **environment: str) -> Iterator[None]:
    """A program of the reference material that listens on a port, ended at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, str(script(name)), *arguments, "--port", str(port)], env={**os.environ, **environment}
    )
    try:
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None:
                raise SystemExit(f"{name} ended with exit code {process.returncode}.")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(WITHIN_S)


class Bench:
    """The upstream, the bare pass-through and the gateway, while they run."""

    def __init__(self, upstream: int, bare: int, server: Server) -> None:
        self.direct = f"http://127.0.0.1:{upstream}/v1/chat/completions"
        self.bare = f"http://127.0.0.1:{bare}/v1/chat/completions"
        self.gateway = f"{server.url}/gateway/openai/v1/chat/completions"
        self.server = server
        self.sent = 0

    def ask(self, url: str, requests: int, concurrency: int, *more: str) -> dict[str, Any]:
        """The figures of one load, taken in turns with the upstream itself."""
        own = ("--pid", str(self.server.pid)) if url == self.gateway else ()
        found = measured(
            "proxy_load.py",
            *("--url", url, "--direct-url", self.direct, "--requests", str(requests)),
            *("--concurrency", str(concurrency), "--seconds", "60", *own, *more),
        )
        if found["bad"]:
            raise SystemExit(f"{found['bad']} of the calls to {url} failed.")
        if url == self.gateway:
            self.sent += found["proxy"]["n"] + 50  # fifty warm it up
        return found

    def stored(self, within_s: float = 30.0) -> None:
        """Wait until the server has stored everything; raises SystemExit when it does not."""
        deadline = time.monotonic() + within_s
        while (operations := self.server.status()["operations"]) < self.sent:
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.sent} calls were made, {operations} are stored.")
            time.sleep(0.1)


def once(requests: int, streams: int) -> dict[str, float]:
    """One round of everything."""
    upstream, bare = free_port(), free_port()
    settings = {"RALEX_MONITOR_UPSTREAMS": json.dumps({"openai": {"url": f"http://127.0.0.1:{upstream}/v1"}})}
    with (
        tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory,
        started("fake_openai.py", upstream),
        started("bare_proxy.py", bare, "aiohttp", UPSTREAM=f"http://127.0.0.1:{upstream}"),
        running(Path(directory) / "home", extra_environment=settings) as server,
    ):
        bench = Bench(upstream, bare, server)
        found: dict[str, float] = {}
        for name, url in (("bare", bench.bare), ("gateway", bench.gateway)):
            one = bench.ask(url, requests // 5, 1)
            many = bench.ask(url, requests, 32)
            flow = bench.ask(url, streams, 1, "--stream", "--expect-chunks", "50")
            found[f"{name}_added_1"] = one["added_p50_ms"]
            found[f"{name}_added_32"] = many["added_p50_ms"]
            found[f"{name}_per_s"] = many["proxy"]["rps"]
            found[f"{name}_first_byte"] = flow["proxy"]["ttfb_p50_ms"] - flow["direct"]["ttfb_p50_ms"]
            if name == "gateway":
                found["cpu_ms"], found["rss_mb"] = many["proxy_cpu_ms_per_req"], many["rss_mb"]
        bench.stored()
        if server.stop() != 0:
            raise SystemExit(f"The server did not end cleanly:\n{server.log()}")
        stored = stored_ids(server.home)
        if len(stored) != bench.sent or sum(stored.values()) != bench.sent:
            raise SystemExit(f"{bench.sent} calls were made, {sum(stored.values())} stored, {len(stored)} different.")
        found["recorded"] = bench.sent
    return found


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    runs = [once(given.requests, given.streams) for _ in range(given.repeats)]

    def middle(name: str) -> float:
        return median([found[name] for found in runs])

    figures: list[Figure] = []
    for what, name, unit, limit, more in (
        ("gateway, added to a call, 1 caller, median", "added_1", "ms", 0.8, False),
        ("gateway, added to a call, 32 callers, median", "added_32", "ms", 8.0, False),
        ("gateway, calls a second, 32 callers", "per_s", "calls/s", 3000.0, True),
        ("gateway, first byte of a stream of 50 chunks, later by", "first_byte", "ms", 1.5, False),
    ):
        value = middle(f"gateway_{name}")
        figures.append(Figure(what, value, unit, limit, LIMIT, more_is_better=more))
        figures.append(Figure(f"{what}, beside", value, unit, middle(f"bare_{name}"), BARE, more_is_better=more))
    figures += [
        Figure(
            "gateway, added, 32 callers, beside",
            middle("gateway_added_32"),
            "ms",
            peers.LITELLM_ADDED_32_MS,
            peers.LITELLM,
        ),
        Figure("gateway, CPU of a call", middle("cpu_ms"), "ms", peers.LITELLM_CPU_MS, peers.LITELLM),
        Figure("gateway, calls recorded once, of as many made", min(found["recorded"] for found in runs), "calls"),
    ]
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()
