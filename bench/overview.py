"""The overview page with five million operations stored: server time, then a cold browser."""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import time
from pathlib import Path

from bench import peers
from bench.dataset import build
from bench.figure import Figure, p95, report, timed_ms
from bench.reference import measured
from tests.support.server import HOST, Server, ask, running

FORGOTTEN_S = 1.2
"""The server remembers an overview's answers for a second."""
RANGES = ("live", "1h", "24h", "7d", "30d", "all")


def page_ms(server: Server, path: str, repeats: int) -> list[float]:
    """Milliseconds from request to last byte of a page over one connection, ascending; none from what is remembered.

    Raises:
        SystemExit: the page does not answer 200.
    """
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)

    def once() -> None:
        answer = ask(connection, "GET", path, headers={"Accept": "text/html", "Accept-Encoding": "gzip"})
        if answer.status != 200:
            raise SystemExit(f"GET {path} answered {answer.status}:\n{answer.body[:500]!r}")

    try:
        return timed_ms(once, repeats, pause_s=FORGOTTEN_S)
    finally:
        connection.close()


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.overview", description=__doc__)
    parser.add_argument("--operations", type=int, default=5_000_000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--browser-repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory:
        home = Path(directory) / "home"
        build(home, given.operations, end_us=time.time_ns() // 1000)
        with running(home) as server:
            for name in RANGES:
                found = page_ms(server, f"/?range={name}", given.repeats)
                figures.append(
                    Figure(f"overview, {name}, server, median", statistics.median(found), "ms", 300, "the limit")
                )
                figures.append(Figure(f"overview, {name}, server, p95", p95(found), "ms", 300, "the limit"))
            page = measured(
                "page_time.py",
                *("--url", f"{server.url}/?range=24h", "--repeats", str(given.browser_repeats)),
            )
    cold, warm = page["cold"], page["warm"]
    figures += [
        Figure("overview, cold browser, LCP", cold["lcp"] / 1e3, "s", peers.PHOENIX_LCP_S, peers.PHOENIX),
        Figure("overview, warm browser, LCP", warm["lcp"] / 1e3, "s"),
        Figure("overview, cold browser, transferred", cold["kb"], "kB", peers.PHOENIX_PAGE_KB, peers.PHOENIX),
        Figure("overview, cold browser, requests", cold["requests"], ""),
        Figure("overview, cold browser, JavaScript heap", cold["heap_mb"], "MB"),
    ]
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()
