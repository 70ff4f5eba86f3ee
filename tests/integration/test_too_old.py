"""Operations that started before what retention keeps: every source says how many were not stored, and why."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ralex_core.collection.gateway.recorder import GatewayRecorder, line_of
from ralex_core.collection.gateway.records import CallRecord
from ralex_core.collection.gateway.routes import Routes
from ralex_core.collection.importers.registry import importer_for
from ralex_core.collection.importers.runner import run_import
from ralex_core.collection.sinks import Batch, InProcessSink
from ralex_core.collection.spool import Spool
from ralex_core.model.window import DAY_US
from tests.support.command_line import aider_log
from tests.support.dashboard import NOW_US, SmallHost, client_of, small_host
from tests.support.operations import make_operation

OLD_US = NOW_US - 100 * DAY_US
OLD = "2025-01-01T00:00:00Z"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SmallHost]:
    with small_host(tmp_path / "home", retention_days=30) as host:
        host.store(make_operation("kept", started_at=NOW_US))
        keep_house(host, NOW_US)
        yield host


def keep_house(host: SmallHost, now_us: int) -> None:
    host.real.writer.run(lambda: host.real.store.apply_retention(now_us)).result()


def too_old(host: SmallHost) -> int:
    return int(host.metrics.counters().get("operations_expired_total", 0))


async def test_the_native_door_counts_them_all_and_names_the_first(host: SmallHost) -> None:
    records = [{"operation_id": f"old-{n}", "name": "x", "started_at": OLD} for n in range(150)]
    records.insert(1, {"operation_id": "new", "name": "x", "started_at": NOW_US})  # type: ignore[dict-item]
    async with client_of(host) as client:
        answer = await client.post("/api/v1/operations", json=records)
        again = await client.post("/api/v1/operations", json=[records[0], records[0]])
        data = (await client.get("/api/v1/monitor")).json()["data"]
        metrics = (await client.get("/metrics")).text
    taken = answer.json()["data"]
    assert (taken["accepted"], taken["duplicates"], taken["not_stored"]) == (1, 0, 150)
    assert [rejected["index"] for rejected in taken["rejected"][:3]] == [0, 2, 3]
    assert {rejected["reason"] for rejected in taken["rejected"]} == {
        "started_at: it is older than what is kept (retention_days)"
    }
    assert (again.json()["data"]["duplicates"], again.json()["data"]["not_stored"]) == (0, 2)
    assert too_old(host) == 152
    assert "ralex_monitor_operations_expired_total 152" in metrics
    losses = {loss["key"]: loss["count"] for loss in data["losses"]}
    assert losses["operations_expired_total"] == 152


async def test_a_table_of_operations_names_its_rows(host: SmallHost) -> None:
    table = {"common": {"name": "q", "kind": "db"}, "columns": ["operation_id", "started_at"]}
    rows = [["a" * 16, OLD_US], ["b" * 16, NOW_US], ["c" * 16, OLD_US]]
    async with client_of(host) as client:
        taken = (await client.post("/api/v1/operations", json=table | {"rows": rows})).json()["data"]
    assert (taken["accepted"], taken["not_stored"], [one["index"] for one in taken["rejected"]]) == (1, 2, [0, 2])


async def test_a_share_of_a_common_commit_names_its_own(host: SmallHost) -> None:
    """Requests that are committed together each hear of theirs."""
    writer = host.real.writer
    with writer.expecting():
        old = writer.submit([make_operation("old", started_at=OLD_US), make_operation("n1", started_at=NOW_US)])
        new = writer.submit([make_operation("n2", started_at=NOW_US)])
    assert (old.result().inserted, old.result().expired_ids) == (1, frozenset({"old"}))
    assert (new.result().inserted, new.result().expired) == (1, 0)


async def test_otlp_says_so_in_its_partial_success(host: SmallHost) -> None:
    spans = [
        {
            "traceId": f"{n:032x}",
            "spanId": f"{n:016x}",
            "name": "chat",
            "startTimeUnixNano": str(at * 1000),
            "endTimeUnixNano": str(at * 1000 + 10**9),
            "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}],
        }
        for n, at in ((1, OLD_US), (2, NOW_US), (3, OLD_US))
    ]
    async with client_of(host) as client:
        answer = await client.post("/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedSpans"] == "2"
    assert "2 started before what is kept (retention_days)" in partial["errorMessage"]
    assert too_old(host) == 2


async def test_litellm_is_told_which(host: SmallHost) -> None:
    def payload(identifier: str, at_us: int) -> dict[str, Any]:
        return {
            "id": identifier,
            "call_type": "completion",
            "model": "gpt-4o",
            "status": "success",
            "startTime": at_us / 1e6,
            "endTime": at_us / 1e6 + 1,
        }

    async with client_of(host) as client:
        answer = await client.post("/api/v1/litellm", json=[payload("a", OLD_US), payload("b", NOW_US)])
    taken = answer.json()["data"]
    assert (taken["accepted"], taken["not_stored"], taken["rejected"][0]["index"]) == (1, 1, 0)


def test_an_import_counts_them(host: SmallHost, tmp_path: Path) -> None:
    log = aider_log(tmp_path / "log.jsonl", 3)
    report = run_import(
        importer_for("aider"),
        [log],
        intake=host.intake,
        state=host.state,
        quarantine_dir=tmp_path / "quarantine",
    )
    assert (report.imported, report.expired) == (0, 3)
    assert too_old(host) == 3


def test_the_sdk_in_this_process_counts_them_as_refused(host: SmallHost, caplog: pytest.LogCaptureFixture) -> None:
    sink = InProcessSink(host.intake.submit)
    lines = [f'{{"name":"x","operation_id":"{n}","started_at":{at}}}\n' for n, at in ((1, OLD_US), (2, NOW_US))]
    sink.submit(Batch("".join(lines).encode(), 2))
    host.real.writer.flush()
    assert (sink.counts().delivered, sink.counts().rejected, sink.counts().pending) == (1, 1, 0)
    assert "did not store 1 operations" in caplog.text


def test_the_gateway_counts_them_as_lost(host: SmallHost, caplog: pytest.LogCaptureFixture) -> None:
    routes = Routes(host.settings.upstreams)
    route = routes.read("/gateway/openai/v1/chat/completions")
    assert not isinstance(route, str), route
    recorder = GatewayRecorder(lambda: host.intake, None, host.metrics)
    for identifier, at_us in (("old", OLD_US), ("new", NOW_US)):
        record = CallRecord(route, routes.targets["openai"], at_us, 0.0)
        recorder.add(record, make_operation(identifier, started_at=at_us))
    recorder.flush()
    host.real.writer.flush()  # what is done when a commit has ended is done now
    recorder.close()
    counts = recorder.counts()
    assert (counts.recorded, counts.lost, counts.in_spool) == (1, 1, 0)
    assert "1 calls of the gateway were not stored" in caplog.text


def test_spooled_calls_of_the_gateway_are_counted_as_well(host: SmallHost, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    lines = [line_of(make_operation(name, started_at=at)) for name, at in (("old", OLD_US), ("new", NOW_US))]
    spool.append(b"".join(lines), 2)
    spool.close()
    recorder = GatewayRecorder(lambda: host.intake, tmp_path / "spool", host.metrics)
    stored = threading.Event()
    host.real.writer.on_commit(lambda operations: stored.set())
    recorder.start()
    assert stored.wait(20)
    recorder.close()
    assert (recorder.counts().recorded, recorder.counts().lost) == (1, 1)
