"""Spans through the door into the real store, priced and durable."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from ralex_core.collection.intake import Intake
from ralex_core.collection.otlp_http import otlp_router
from ralex_core.collection.otlp_span import FIRST_NS, LAST_NS
from ralex_core.config import Settings
from ralex_core.pricing.book import PriceBook
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.queries import operation as stored_operation
from ralex_core.storage.writer import BatchWriter
from tests.support.spans import START_NS, json_bytes, make_request, make_span

OPERATION_ID = "5b8efff798038103eee19b7ec3c1b174"


class Monitor:
    """A store with its writer and door, without the rest of the server."""

    def __init__(self, home: Path) -> None:
        settings, metrics = Settings(home=home), SelfMetrics()
        self.store = DuckDBStore(home / "telemetry.duckdb")
        self.writer = BatchWriter(self.store, queue_operations=10_000, metrics=metrics)
        self.writer.start()
        intake = Intake(PriceBook(settings), self.writer, settings, metrics)
        self.app = FastAPI()
        self.app.include_router(otlp_router(lambda: intake, settings, metrics))

    async def post(self, body: bytes, content_type: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
            return await client.post("/v1/traces", content=body, headers={"content-type": content_type})

    def close(self) -> None:
        self.writer.close()
        self.store.close()


@pytest.fixture
async def monitor(tmp_path: Path) -> AsyncIterator[Monitor]:
    monitor = Monitor(tmp_path)
    yield monitor
    monitor.close()


async def test_a_call_is_stored_priced_and_read_back_whole(monitor: Monitor) -> None:
    span = make_span(
        "chat gpt-4o",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 1_000_000,
            "gen_ai.usage.output_tokens": 100_000,
            "gen_ai.usage.cost": 3.25,
            "session.id": "s",
            "ralex.workflow": "Zürich 東京 🦆",
            "my.note": "Zürich 東京 🦆",
        },
        parent_span_id=b"12345678",
        duration_ms=1234.567,
    )
    response = await monitor.post(make_request(span).SerializeToString(), "application/x-protobuf")
    assert (response.status_code, response.content) == (200, b"")
    found = stored_operation(monitor.store, OPERATION_ID)
    assert found is not None
    assert (found.kind, found.name, found.door) == ("llm", "chat gpt-4o", "otlp")
    assert found.duration_ms == pytest.approx(1234.567)
    assert (found.input_tokens, found.output_tokens, found.session_id) == (1_000_000, 100_000, "s")
    assert found.reported_usd == Decimal("3.25")
    assert (found.cost_basis, found.cost_usd) == ("computed", Decimal("3.5"))
    assert found.workflow == "Zürich 東京 🦆"
    assert "my.note" not in json.loads(found.attributes or "{}"), "text is not stored unless it is asked for"


async def test_a_request_sent_twice_in_either_encoding_is_stored_once(monitor: Monitor) -> None:
    request = make_request(*(make_span(f"s{number}", span_id=(number + 1).to_bytes(8, "big")) for number in range(100)))
    for body, content_type in (
        (request.SerializeToString(), "application/x-protobuf"),
        (request.SerializeToString(), "application/x-protobuf"),
        (json_bytes(request), "application/json"),
    ):
        assert (await monitor.post(body, content_type)).status_code == 200
    assert monitor.store.query("select count(*) from operations") == [(100,)]


@pytest.mark.parametrize(
    "attributes",
    [
        {"session.id": "nul \x00 inside", "user.id": "\x00"},
        {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 2**62, "gen_ai.usage.output_tokens": 2**63 - 1},
        {"gen_ai.operation.name": "chat", "gen_ai.usage.cost": 999_999_999_999.99, "ralex.value_usd": 1e-30},
        {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 10**12 - 1, "gen_ai.usage.output_tokens": 1},
        {"gen_ai.operation.name": "chat", "gen_ai.usage.cost": 1e308},
        {"gen_ai.operation.name": "chat", "gen_ai.usage.cost": "0." + "1" * 400},
        {"attempt": 2**63 - 1, "http.response.status_code": -5},
        {"x" * 5000: "y" * 50_000, "nested": {"a": [{"b": [1.5, None, "\x00"]}]}},
        {"error.type": "\ufffd\x00" * 300, "ralex.outcome": "rejected"},
    ],
    ids=["nul", "counts", "money", "many tokens", "infinite money", "digits", "numbers", "large", "error"],
)
async def test_nothing_a_sender_writes_keeps_the_store_from_taking_it(
    monitor: Monitor, attributes: dict[str, Any]
) -> None:
    resource = {"service.name": "it's \x00 a service"}
    request = make_request(
        make_span("strange \x00 name", attributes, duration_ms=10**10), resource=resource, scope="\x00 '"
    )
    response = await monitor.post(request.SerializeToString(), "application/x-protobuf")
    assert (response.status_code, response.content) == (200, b"")
    assert stored_operation(monitor.store, OPERATION_ID) is not None
    monitor.writer.flush()


async def test_spans_at_the_edges_of_time_are_stored(monitor: Monitor) -> None:
    year = 366 * 86_400 * 10**9
    first = make_span("first", start_ns=FIRST_NS, end_ns=FIRST_NS, span_id=b"\x01" * 8)
    last = make_span("last", start_ns=LAST_NS, end_ns=LAST_NS, span_id=b"\x02" * 8)
    longest = make_span("longest", end_ns=START_NS + 3 * year, span_id=b"\x03" * 8)
    response = await monitor.post(make_request(first, last, longest).SerializeToString(), "application/x-protobuf")
    assert (response.status_code, response.content) == (200, b"")
    assert monitor.store.query("select count(*) from operations") == [(3,)]
    monitor.writer.flush()
