"""On a full disk every change is either kept or refused, and what is told is what is so, before and after a restart."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.process.test_refusals import fill, operations, refusal, small_disk
from tests.support.server import Answer, Server, running

pytestmark = pytest.mark.process

__all__ = ["small_disk"]
JSON = {"Content-Type": "application/json"}


def change(server: Server, method: str, path: str, document: object = None) -> Answer:
    body = None if document is None else json.dumps(document).encode()
    return server.request(method, path, body, JSON if body else None)


def budgets(server: Server) -> dict[str, str]:
    """Name → limit of what holds now."""
    answer = server.request("GET", "/api/v1/budgets")
    assert answer.status == 200, answer
    return {found["name"]: found["hard_usd"] for found in answer.json()["data"]["budgets"]}


def budget(name: str, usd: str = "1") -> dict[str, Any]:
    return {"name": name, "period": "day", "hard_usd": usd}


def outcome(server: Server, identifier: str) -> str | None:
    return server.request("GET", f"/api/v1/operations/{identifier}").json()["data"]["operation"]["outcome"]


def test_a_budget_is_kept_or_refused_and_never_both(small_disk: Path) -> None:
    home = small_disk / "home"
    told: dict[str, str] = {}
    with running(home) as server:
        assert server.send(operations(10)).status == 200
        kept = change(server, "POST", "/api/v1/budgets", budget("before"))
        assert kept.status == 201, kept
        told["before"] = "1"
        fill(small_disk)
        for number in range(60):  # until even the state file's log finds no room
            answer = change(server, "POST", "/api/v1/budgets", budget(f"b{number}"))
            assert answer.status in (201, 503), answer
            if answer.status == 201:
                told[f"b{number}"] = "1"
            else:
                assert str(home) not in answer.body.decode()
        assert answer.status == 503, "the disk was not full enough for this test"
        assert budgets(server) == told
        path = f"/api/v1/budgets/{kept.json()['data']['budget']['id']}"
        if change(server, "PUT", path, budget("before", "7")).status == 200:
            told["before"] = "7"
        assert budgets(server) == told
        if change(server, "DELETE", path).status == 200:
            del told["before"]
        assert budgets(server) == told
        (small_disk / "filler").unlink()
        assert server.stop() == 0, server.log()
        server.start()
        assert budgets(server) == told


def test_an_outcome_is_kept_or_refused_and_never_both(small_disk: Path) -> None:
    with running(small_disk / "home") as server:
        assert server.send(operations(40)).status == 200
        fill(small_disk)
        told: dict[str, str | None] = {}
        statuses: set[int] = set()
        for number in range(40):
            identifier = f"op-1-{number}"
            answer = change(server, "POST", f"/api/v1/operations/{identifier}/outcome", {"outcome": "accepted"})
            statuses.add(answer.status)
            assert answer.status in (200, 503), answer
            told[identifier] = "accepted" if answer.status == 200 else "unknown"
        assert 503 in statuses, "the disk was not full enough for this test"
        assert {identifier: outcome(server, identifier) for identifier in told} == told
        (small_disk / "filler").unlink()
        assert server.stop() == 0, server.log()
        server.start()
        assert {identifier: outcome(server, identifier) for identifier in told} == told


def test_a_process_is_watched_only_when_that_could_be_noted(small_disk: Path) -> None:
    with running(small_disk / "home") as server:
        fill(small_disk)
        for _ in range(60):
            answer = change(server, "POST", "/api/v1/resources/processes", {"pid": os.getpid()})
            if answer.status == 503:
                break
            assert answer.status == 201, answer
            assert change(server, "DELETE", f"/api/v1/resources/processes/{os.getpid()}").status in (200, 503)
        assert answer.status == 503, "the disk was not full enough for this test"
        gone = change(server, "DELETE", f"/api/v1/resources/processes/{os.getpid()}")
        assert gone.status in (404, 503), gone


def test_a_restart_on_a_full_disk_serves_pages_or_says_why_not(small_disk: Path) -> None:
    server = Server(small_disk / "home")
    try:
        server.start()
        assert server.send(operations(10)).status == 200
        server.kill()
        fill(small_disk)
        server.spawn()
        deadline = time.monotonic() + 30
        while (code := server.wait(0.1)) is None and time.monotonic() < deadline:
            try:
                answer = server.request("GET", "/readyz", timeout=5)
            except OSError:
                continue
            assert answer.status == 503
            assert [reason["code"] for reason in answer.json()["reasons"]] == ["disk_full"]
            assert server.request("GET", "/").status == 200
            assert server.status()["operations"] == 10
            break
        if code is not None:
            assert code == 1
            assert "full" in server.log() or "no room" in server.log(), server.log()
            assert "Traceback" not in server.log(), server.log()
    finally:
        server.close()


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_a_state_file_that_cannot_be_written_is_named_at_the_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running(home) as server:
        assert server.stop() == 0
    (home / "state.sqlite").unlink()
    (home / "state.sqlite").mkdir()
    said = refusal(Server(home))
    assert str(home / "state.sqlite") in said
