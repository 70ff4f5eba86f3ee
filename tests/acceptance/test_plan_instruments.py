"""Real programs and applications watched through the instruments, as they were planned: their figures on the API."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ralex_core.monitoring import configure, flush, instrument, operation
from tests.support.instrumented import application
from tests.support.server import Server, running

pytestmark = pytest.mark.process

AGENTS = {
    "mobile app": ("Ralex/2.1 CFNetwork/1568.200.51 Darwin/24.1.0", "okhttp/4.12.0", "ralex-android/1.4"),
    "web": ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36",),
    "terminal": ("ralex/0.3 (terminal)", "curl/8.5.0"),
}


def data(server: Server, path: str) -> Any:
    answer = server.request("GET", path)
    assert answer.status == 200, answer
    return answer.json()["data"]


def settled(server: Server, path: str, is_complete: Callable[[Any], bool]) -> Any:
    """What a question gives once it has everything; the server's rollups are a second behind."""
    found: Any = None
    for _ in range(300):
        found = data(server, path)
        if is_complete(found):
            return found
        server.wait(0.1)
    raise AssertionError(f"{path} never was complete: {found}")


def test_opencode_performance_tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCode runs as a program; how often, how long and how well is on the API, and nothing of its prompt."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "opencode").write_text(
        '#!/bin/sh\nsleep 0.03\ncase "$*" in *fail*) exit 2;; esac\necho "$TRACEPARENT"\n'
    )
    (programs / "opencode").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    with running(tmp_path / "server") as server:
        configure(server.url, spool_dir=tmp_path / "spool", client="terminal")
        instrument.subprocess()
        try:
            longest_ms, traces = 0.0, []
            for number in range(12):
                prompt = f"please {'fail' if number % 4 == 3 else 'refactor'} hunter2"
                with operation("turn"):
                    began = time.monotonic()
                    ran = subprocess.run(["opencode", "run", prompt], capture_output=True, text=True)
                    longest_ms = max(longest_ms, (time.monotonic() - began) * 1e3)
                    traces.append(ran.stdout.strip())
            assert flush()
        finally:
            instrument.off()
            configure(enabled=False)
        rows = settled(server, "/api/v1/operations?kind=tool", lambda found: found["total"] == 12)["rows"]
        ranking = settled(server, "/api/v1/breakdown?by=name", lambda found: sum(r["operations"] for r in found) == 24)
        details = [data(server, f"/api/v1/operations/{row['operation_id']}") for row in rows]
    assert {row["name"] for row in rows} == {"opencode run"}
    assert Counter(row["status"] for row in rows) == {"ok": 9, "error": 3}
    assert {row["error_type"] for row in rows} == {None, "exit code 2"}
    assert all(30 <= row["duration_ms"] <= longest_ms for row in rows)
    by_name = {row["key"]: row for row in ranking}
    assert by_name["opencode run"]["operations"] == 12
    assert by_name["opencode run"]["errors"] == 3
    told = {trace.split("-")[1] for trace in traces if trace}
    assert told == {row["trace_id"] for row in rows if row["status"] == "ok"}, (
        "OpenCode was told the trace it is part of"
    )
    assert "hunter2" not in str(details)


def test_mobile_app_analytics_integration(tmp_path: Path) -> None:
    """Requests of phones, browsers and terminals to one application are told apart, and counted exactly."""
    with running(tmp_path / "server") as server, application(tmp_path, server.url) as app:
        sent: Counter[str] = Counter()
        for client, agents in AGENTS.items():
            for number, agent in enumerate(agents * 4):
                app.get(f"/orders/{number}", {"User-Agent": agent})
                sent[client] += 1
        assert app.end()["delivered"] == sum(sent.values()) * 3
        rows = settled(
            server,
            "/api/v1/breakdown?by=client",
            lambda found: sum(row["operations"] for row in found) >= sum(sent.values()) * 3,
        )
        requests = data(server, "/api/v1/operations?kind=api&size=200")["rows"]
    by_client = {row["key"]: row["operations"] for row in rows if row["key"] in AGENTS}
    assert by_client == dict(sent)
    assert Counter(row["client"] for row in requests) == sent
    assert {row["name"] for row in requests} == {"GET /orders/{order}"}


def test_monitoring_under_load(tmp_path: Path) -> None:
    """An application under concurrent load: every request and query is stored, once, in its own trace."""
    threads, each = 8, 60
    statuses: Counter[int] = Counter()
    with running(tmp_path / "server") as server, application(tmp_path, server.url) as app:

        def client(number: int) -> None:
            for turn in range(each):
                status = app.get(f"/orders/{number * each + turn}" if turn % 3 else f"/async/{turn}")
                with lock:
                    statuses[status] += 1

        lock = threading.Lock()
        clients = [threading.Thread(target=client, args=(number,)) for number in range(threads)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        outcome = app.end()
        orders = threads * each * 2 // 3
        expected = threads * each + 2 * orders
        settled(
            server,
            "/api/v1/breakdown?by=name",
            lambda found: sum(row["operations"] for row in found) >= expected,
        )
        ranking = {row["key"]: row for row in data(server, "/api/v1/breakdown?by=name&limit=200")}
        queries = data(server, "/api/v1/operations?kind=db&size=200")["rows"]
        spans = data(server, f"/api/v1/operations/{queries[0]['operation_id']}/trace")["spans"]
    assert sum(statuses.values()) == threads * each
    assert outcome == {
        "recorded": expected,
        "delivered": expected,
        "queued": 0,
        "pending": 0,
        "dropped_queue": 0,
        "dropped_spool": 0,
        "rejected": 0,
        "errors": 0,
    }
    assert {name: row["operations"] for name, row in ranking.items()} == {
        "GET /orders/{order}": orders,
        "GET /async/{order}": threads * each // 3,
        "select id, title from orders where id = ?": orders,
        "select id from lines where order_id = ?": orders,
    }
    assert len(spans) == 3, "a request and its two queries are one trace"
