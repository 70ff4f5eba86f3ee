"""Health and readiness of a real server tell what is wrong, while it is wrong, and get well by themselves."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.process.test_ending import WEDGED, begin
from tests.process.test_refusals import fill, operations, small_disk
from tests.support.command_line import CommandLine
from tests.support.server import Server, running

pytestmark = pytest.mark.process

WITHIN_S = 30.0
__all__ = ["small_disk"]


def until(server: Server, path: str, status: int) -> dict[str, Any]:
    """What a probe answers once it answers `status`."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        answer = server.request("GET", path, timeout=10)
        if answer.status == status:
            return answer.json()
        assert time.monotonic() < deadline, (path, answer)


def codes(document: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in document["reasons"]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    extra = {"PYTHONPATH": str(Path.cwd()), "RALEX_MONITOR_STUCK_AFTER_S": "1"}
    with running(tmp_path / "home", executable=WEDGED, extra_environment=extra) as started:
        yield started


def test_a_decoder_that_never_returns_is_told_by_both_probes_and_the_page(server: Server) -> None:
    body = b'{"resourceSpans":[]}'
    with closing(begin(server, "POST", "/wedge/v1/traces", body, "application/json")):
        alive = until(server, "/healthz", 503)
        assert alive["status"] == "stuck"
        assert codes(alive) == ["decoder_stuck"]
        (reason,) = until(server, "/readyz", 503)["reasons"]
        assert f"{len(body)} bytes" in reason["sentence"]
        assert "Restart" in reason["advice"]
        page = server.request("GET", "/api/v1/monitor").json()["data"]
        assert codes(page) == ["decoder_stuck"]
        assert page["status"] == "degraded"
        metrics = server.request("GET", "/metrics").body.decode()
        assert 'ralex_monitor_not_ready{reason="decoder_stuck"} 1' in metrics
        assert 'ralex_monitor_not_ready{reason="disk_full"} 0' in metrics


def test_a_writer_that_never_returns_is_told(server: Server) -> None:
    assert server.request("POST", "/wedge/writer").status == 200
    assert codes(until(server, "/healthz", 503)) == ["writer_stuck"]
    assert "writer_stuck" in codes(until(server, "/readyz", 503))


def test_probes_answer_while_every_thread_of_the_pool_is_taken(server: Server) -> None:
    waiting: list[http.client.HTTPConnection] = []
    try:
        waiting += [begin(server, "POST", "/wedge/wait") for _ in range(60)]
        assert server.request("GET", "/healthz", timeout=10).status == 200
        assert server.request("GET", "/readyz", timeout=10).status == 200
    finally:
        for connection in waiting:
            connection.close()


def test_a_full_disk_is_told_until_there_is_room(small_disk: Path) -> None:
    with running(small_disk / "home") as server:
        assert server.send(operations(10)).status == 200
        filler = fill(small_disk)
        full = until(server, "/readyz", 503)
        assert codes(full) == ["disk_full"]
        assert str(small_disk) not in str(full), "open to everybody: no paths"
        assert server.request("GET", "/healthz").status == 200, "a restart would not help"
        filler.unlink()
        assert until(server, "/readyz", 200) == {"status": "ready", "reasons": []}
        assert server.send(operations(10, seed=2)).status == 200


def test_a_commit_that_failed_is_told_though_a_little_would_fit(small_disk: Path) -> None:
    with running(small_disk / "home") as server:
        assert server.send(operations(10)).status == 200
        filler = fill(small_disk)
        assert server.send(operations(2000, seed=2)).status == 503
        with filler.open("r+b") as file:
            file.truncate(filler.stat().st_size - (1 << 20))
        assert codes(until(server, "/readyz", 503)) == ["disk_full"]
        filler.unlink()
        assert server.send(operations(2000, seed=2)).status == 200
        assert until(server, "/readyz", 200)["reasons"] == []


def test_the_doctor_says_what_the_server_says(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(small_disk / "home") as server:
        fill(small_disk)
        assert server.send(operations(2000)).status == 503
        monkeypatch.setenv("RALEX_MONITOR_HOME", str(server.home))
        told = CommandLine(server.home)("doctor")
    assert told.code == 1
    assert "The disk is full" in told.stdout
    assert "Batches that could not be stored: 1" in " ".join(told.stdout.split())
