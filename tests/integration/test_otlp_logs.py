"""`POST /v1/logs`: the answers senders get, what is stored of them, and the SDK's own exporter."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from concurrent.futures import Future
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from ralex_core.collection.otlp_http import TakesOperations, otlp_router
from ralex_core.config import Settings
from ralex_core.errors import IntakeFull
from ralex_core.model.operation import Operation
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.telemetry import WriteResult
from tests.support.intake import MemoryIntake
from tests.support.live_app import serving
from tests.support.logs import AT_NS, claude, gemini, logs_json, logs_request
from tests.support.server import running

PROTOBUF, JSON = "application/x-protobuf", "application/json"
ENCODINGS = pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
CALL = {
    "model": "claude-sonnet-4-5",
    "input_tokens": 1000,
    "output_tokens": 100,
    "cache_read_tokens": 0,
    "cache_creation_tokens": 0,
    "cost_usd": 0.0045,
    "duration_ms": 900,
}


def calls(count: int = 3) -> list[Any]:
    return [claude("api_request", {**CALL, "request_id": f"req_{number}"}) for number in range(count)]


def encoded(content_type: str, *records: Any) -> bytes:
    request = logs_request(*(records or calls()), resource={"service.name": "claude-code"})
    return request.SerializeToString() if content_type == PROTOBUF else json.dumps(logs_json(request)).encode()


async def post(
    intake: TakesOperations,
    home: Path,
    body: bytes,
    content_type: str,
    metrics: SelfMetrics | None = None,
    **headers: str,
) -> httpx.Response:
    app = FastAPI()
    app.include_router(otlp_router(lambda: intake, Settings(home=home, max_body_mb=1), metrics or SelfMetrics()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://monitor") as client:
        return await client.post("/v1/logs", content=body, headers={"content-type": content_type, **headers})


@ENCODINGS
@pytest.mark.parametrize("compress", [False, True])
async def test_events_are_stored_once_however_often_they_come(
    tmp_path: Path, content_type: str, compress: bool
) -> None:
    intake, body = MemoryIntake(), encoded(content_type)
    headers = {"content-encoding": "gzip"} if compress else {}
    for _ in range(2):
        response = await post(intake, tmp_path, gzip.compress(body) if compress else body, content_type, **headers)
        assert response.status_code == 200
        assert response.headers["content-type"] == content_type
        assert response.content == (b"" if content_type == PROTOBUF else b"{}")
    assert len(intake.stored) == 3


@ENCODINGS
async def test_a_broken_event_is_counted_and_explained_and_the_others_are_stored(
    tmp_path: Path, content_type: str
) -> None:
    intake, metrics = MemoryIntake(), SelfMetrics()
    timeless = gemini("api_response", {"model": "gemini-2.5-pro", "event.timestamp": ""}, at_ns=0)
    unused = claude("plugin_loaded", {})
    response = await post(intake, tmp_path, encoded(content_type, *calls(2), timeless, unused), content_type, metrics)
    assert response.status_code == 200
    if content_type == PROTOBUF:
        partial = ExportLogsServiceResponse.FromString(response.content).partial_success
        rejected, message = partial.rejected_log_records, partial.error_message
    else:
        partial = response.json()["partialSuccess"]
        rejected, message = int(partial["rejectedLogRecords"]), partial["errorMessage"]
    assert rejected == 1
    assert message == "1 of 4 log records were not stored: event 'gemini_cli.api_response' has no time."
    assert len(intake.stored) == 2
    counters = metrics.counters()
    assert counters["otlp_log_records_total"] == 4
    assert counters["otlp_log_records_unused_total"] == 1
    assert counters["otlp_log_records_rejected_total"] == 1


async def test_records_that_are_not_used_are_no_failure(tmp_path: Path) -> None:
    response = await post(MemoryIntake(), tmp_path, encoded(JSON, claude("plugin_loaded", {})), JSON)
    assert (response.status_code, response.content) == (200, b"{}")


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "status"),
    [
        (b"nonsense", JSON, {}, 400),
        (b"\x01\x02\x03 nonsense", PROTOBUF, {}, 400),
        (b"{}", "text/plain", {}, 415),
        (b"{}", JSON, {"content-encoding": "br"}, 415),
        (b" " * ((1 << 20) + 1), JSON, {}, 413),
    ],
)
async def test_what_is_no_request_is_refused(
    tmp_path: Path, body: bytes, content_type: str, headers: dict[str, str], status: int
) -> None:
    intake = MemoryIntake()
    assert (await post(intake, tmp_path, body, content_type, **headers)).status_code == status
    assert intake.stored == {}


async def test_a_full_queue_is_503_with_the_time_to_wait(tmp_path: Path) -> None:
    class Full(MemoryIntake):
        def submit(self, operations: Sequence[Operation], *, redacted: bool = False) -> Future[WriteResult]:
            raise IntakeFull("7 operations are waiting for a commit.", retry_after_s=4)

    response = await post(Full(), tmp_path, encoded(PROTOBUF), PROTOBUF)
    assert (response.status_code, response.headers["retry-after"]) == (503, "4")


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_what_the_sdk_exports_is_stored(tmp_path: Path, compression: Compression) -> None:
    intake = MemoryIntake()
    app = FastAPI()
    app.include_router(otlp_router(lambda: intake, Settings(home=tmp_path), SelfMetrics()))
    with serving(app) as url:
        provider = LoggerProvider(Resource.create({"service.name": "claude-code", "ralex.project": "checkout"}))
        provider.add_log_record_processor(
            BatchLogRecordProcessor(OTLPLogExporter(f"{url}/v1/logs", compression=compression, timeout=10))
        )
        logger = provider.get_logger("com.anthropic.claude_code.events", "2.1.161")
        for body, attributes in (
            ("claude_code.api_request", {**CALL, "request_id": "req_sdk", "session.id": "s"}),
            ("claude_code.tool_result", {"tool_name": "Bash", "tool_use_id": "t", "success": "true"}),
            ("an ordinary line", {}),
        ):
            logger.emit(timestamp=AT_NS, body=body, attributes=attributes)
        assert provider.force_flush(10_000)
        provider.shutdown()
    by_kind = {operation.kind: operation for operation in intake.stored.values()}
    assert set(by_kind) == {"llm", "tool"}
    call = by_kind["llm"]
    assert (call.service, call.project, call.session_id) == ("claude-code", "checkout", "s")
    assert (call.input_tokens, call.reported_usd, call.duration_ms) == (1000, Decimal("0.0045"), 900)


@pytest.mark.process
def test_events_reach_the_totals_of_the_real_server(tmp_path: Path) -> None:
    with running(tmp_path / "home") as server:
        for content_type in (PROTOBUF, JSON, PROTOBUF):
            answer = server.request("POST", "/v1/logs", encoded(content_type), {"Content-Type": content_type})
            assert answer.status == 200, answer
        status = server.status()
        assert (status["operations"], status["llm_operations"]) == (3, 3)
        assert (status["input_tokens"], status["output_tokens"]) == (3000, 300)
        assert Decimal(str(status["cost"]["reported_usd"])) == Decimal("0.0135")
        counters = server.request("GET", "/metrics").body.decode()
        assert "ralex_monitor_otlp_log_records_total 9" in counters
