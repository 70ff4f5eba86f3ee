"""The figures API: every answer has the shape OpenAPI promises, and agrees with the question functions."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from ralex_core.dashboard.api.filters import FilterValue
from ralex_core.dashboard.api.imports import ImportsAnswer
from ralex_core.dashboard.api.operations import OperationAnswer
from ralex_core.dashboard.api.status import Status
from ralex_core.dashboard.contexts.operations import OperationList, TraceView
from ralex_core.dashboard.contexts.overview import Overview
from ralex_core.dashboard.contexts.resources import ResourcesView
from ralex_core.dashboard.contexts.rows import (
    BreakdownView,
    CostSeries,
    DriftView,
    LatencySeries,
    TotalsView,
    UsageSeries,
)
from ralex_core.dashboard.contexts.traces import BottlenecksView, TraceList
from ralex_core.dashboard.envelope import Envelope
from ralex_core.dashboard.health import PROBE_EVERY_S
from ralex_core.dashboard.live_message import LiveMessage
from ralex_core.model.window import DAY_US, Filters, Scope, Window
from ralex_core.storage.queries import totals
from tests.support.dashboard import NOW_US, SmallFound, SmallHost, client_of, small_host
from tests.support.operations import make_operation, random_operations

OPERATIONS = random_operations(11, 1500, start_us=NOW_US - DAY_US + 1_000_000, span_us=DAY_US - 2_000_000)


@contextmanager
def filled(home: Path) -> Iterator[SmallHost]:
    with small_host(home, daily_budget_usd=Decimal(100)) as opened:
        opened.found.append(SmallFound("aider", "Aider", [home / "analytics.jsonl"]))
        opened.store(OPERATIONS)
        yield opened


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallHost]:
    """For tests that only ask."""
    with filled(tmp_path_factory.mktemp("figures")) as opened:
        yield opened


@pytest.fixture
async def client(host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host) as opened:
        yield opened


@pytest.fixture
def own_host(tmp_path: Path) -> Iterator[SmallHost]:
    """For tests that change something."""
    with filled(tmp_path) as opened:
        yield opened


@pytest.fixture
async def own_client(own_host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(own_host) as opened:
        yield opened


SHAPES: dict[str, Any] = {
    "overview": Envelope[Overview],
    "totals": Envelope[TotalsView],
    "costs?by=model": Envelope[CostSeries],
    "latency": Envelope[LatencySeries],
    "usage": Envelope[UsageSeries],
    "breakdown?by=user": Envelope[list[BreakdownView]],
    "drift": Envelope[list[DriftView]],
    "resources": Envelope[ResourcesView],
    "filters?field=session": Envelope[list[FilterValue]],
    "operations": Envelope[OperationList],
    "operations/11-0": Envelope[OperationAnswer],
    "operations/11-0/trace": Envelope[TraceView],
    "bottlenecks": Envelope[BottlenecksView],
    "traces": Envelope[TraceList],
    "live": Envelope[LiveMessage],
    "imports": Envelope[ImportsAnswer],
    "status": Status,
}


@pytest.mark.parametrize("path", SHAPES)
async def test_an_answer_has_the_shape_that_is_documented(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    shape = TypeAdapter(SHAPES[path])
    told = shape.dump_python(shape.validate_json(answer.content), mode="json")
    assert set(told) == set(answer.json())
    if isinstance(told.get("data"), dict):
        assert set(told["data"]) == set(answer.json()["data"])


async def test_every_route_of_the_api_is_described_with_its_answer(client: httpx.AsyncClient) -> None:
    described = (await client.get("/openapi.json")).json()
    assert {"/api/v1/operations", "/api/v1/status", "/v1/traces", "/healthz", "/readyz", "/metrics"} <= set(
        described["paths"]
    )
    for path, item in described["paths"].items():
        for method, route in item.items():
            success = next(answer for status, answer in route["responses"].items() if status.startswith("2"))
            assert route["description"], (method, path)
            if path not in ("/v1/traces", "/metrics"):
                shapes = [answer["schema"] for answer in success["content"].values()]
                assert shapes and all(shapes), (method, path)


async def test_the_description_refers_to_nothing_that_is_missing(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.json")
    schemas = answer.json()["components"]["schemas"]
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', answer.text))
    assert referred == set(schemas)
    assert "x-shape" not in answer.text and "HTTPValidationError" not in answer.text


async def test_totals_agree_with_the_question_function(host: SmallHost, client: httpx.AsyncClient) -> None:
    query = {"range": "custom", "from": "2026-01-01T02:03:04.5Z", "to": "2026-01-01T09:08:07Z", "project": "alpha"}
    data = (await client.get("/api/v1/totals", params=query)).json()["data"]
    midnight = NOW_US // DAY_US * DAY_US
    window = Window(midnight + 7_384_500_000, midnight + 32_887_000_000)
    expected = totals(host.active_store(), Scope(window, Filters(project=("alpha",))))
    assert data["operations"] == expected.operations > 0
    assert Decimal(data["cost_usd"]) == expected.cost_usd
    assert data["p95_ms"] == expected.p95_ms
    assert data["operations_per_minute"] == pytest.approx(expected.operations / (window.length_us / 6e7))


async def test_the_charts_of_the_overview_share_one_axis_and_add_up(client: httpx.AsyncClient) -> None:
    data = (await client.get("/api/v1/overview", params={"range": "24h"})).json()["data"]
    charts = data["charts"]
    starts = charts["usage"]["starts"]
    assert all(charts[name]["starts"] == starts for name in charts)
    assert {b - a for a, b in itertools.pairwise(starts)} == {charts["usage"]["bucket_us"]}
    assert sum(charts["usage"]["operations"]) == data["totals"]["operations"] == len(OPERATIONS)
    for name in ("cost_by_tier", "cost_by_model"):
        total = sum(sum(series) for series in charts[name]["series"].values())
        assert total == pytest.approx(float(data["totals"]["cost_usd"]), rel=1e-6)
    assert list(charts["cost_by_tier"]["series"]) == ["cheap", "standard", "premium", "unknown"]


async def test_the_tiles_stand_in_their_fixed_order(client: httpx.AsyncClient) -> None:
    data = (await client.get("/api/v1/overview")).json()["data"]
    keys = [tile["key"] for tile in data["tiles"]]
    assert keys == ["spend_today", "efficiency", "rate", "latency", "errors", "tokens", "coverage"]
    spend = data["tiles"][0]
    assert spend["number"] == pytest.approx(float(data["today"]["cost_usd"]))
    assert spend["meter"] == pytest.approx(float(data["today"]["cost_usd"]) / 100)
    assert data["headline"][0]["text"].startswith("$") and data["headline"][-1]["text"].endswith(".")


async def test_a_range_without_operations_is_empty_and_not_zero(client: httpx.AsyncClient) -> None:
    data = (await client.get("/api/v1/overview?from=2020-01-01&to=2020-01-02")).json()["data"]
    assert data["empty"] is True
    assert data["totals"]["coverage_ratio"] is None
    assert data["totals"]["p95_ms"] is None
    assert {tile["key"]: tile["value"] for tile in data["tiles"]}["latency"] == "—"


async def test_the_same_overview_asked_for_at_once_is_built_once(host: SmallHost, client: httpx.AsyncClient) -> None:
    import asyncio

    answers = await asyncio.gather(*(client.get("/api/v1/overview?range=24h") for _ in range(8)))
    assert len({answer.json()["data"]["generated_at"] for answer in answers}) == 1
    assert len({answer.content for answer in answers}) == 1


async def test_values_to_filter_by_can_be_searched(client: httpx.AsyncClient) -> None:
    data = (await client.get("/api/v1/filters?field=user&q=EN")).json()["data"]
    assert [row["value"] for row in data] == ["ben"]
    assert data[0]["operations"] == sum(operation.user_id == "ben" for operation in OPERATIONS)


async def test_a_breakdown_row_links_to_its_operations(client: httpx.AsyncClient) -> None:
    rows = (await client.get("/api/v1/breakdown?by=project&range=24h&model=gpt-4o")).json()["data"]
    unknown = next(row for row in rows if row["label"] == "unknown")
    listed = (await client.get(unknown["href"].replace("/operations", "/api/v1/operations"))).json()["data"]
    assert listed["total"] == unknown["operations"]


async def test_status_is_the_plain_object_scripts_expect(client: httpx.AsyncClient) -> None:
    told = (await client.get("/api/v1/status")).json()
    assert set(told) == {"operations", "llm_operations", "input_tokens", "output_tokens", "cost", "quarantined_claims"}
    assert set(told["cost"]) == {"reported_usd", "computed_usd", "billed_usd", "total_usd", "coverage_ratio"}
    assert told["operations"] == len(OPERATIONS)
    assert Decimal(told["cost"]["total_usd"]) == sum(op.cost_usd for op in OPERATIONS if op.cost_usd is not None)
    assert all(isinstance(told["cost"][name], str) for name in told["cost"] if name.endswith("_usd"))


async def test_an_empty_store_has_a_status_too(tmp_path: Path) -> None:
    with small_host(tmp_path / "empty") as host:
        async with client_of(host) as client:
            told = (await client.get("/api/v1/status")).json()
    assert told["operations"] == 0
    assert told["cost"]["total_usd"] == "0"
    assert told["cost"]["coverage_ratio"] is None


async def test_probes_and_metrics_answer(own_host: SmallHost, own_client: httpx.AsyncClient) -> None:
    assert (await own_client.get("/healthz")).json() == {"status": "ok", "reasons": []}
    assert (await own_client.get("/readyz")).json() == {"status": "ready", "reasons": []}
    own_host.not_ready = "The telemetry store in /secret/place does not answer"
    own_host.clock.advance(PROBE_EVERY_S)  # type: ignore[attr-defined]
    answer = await own_client.get("/readyz")
    assert answer.status_code == 503
    assert "/secret" not in answer.text
    text = (await own_client.get("/metrics")).text
    assert f"ralex_monitor_operations_stored_total {len(OPERATIONS)}\n" in text
    assert "# TYPE ralex_monitor_queue_operations gauge" in text
    assert "ralex_monitor_process_resident_memory_bytes" in text


async def test_found_logs_are_imported_and_paths_are_never_taken_from_a_request(
    own_host: SmallHost, own_client: httpx.AsyncClient
) -> None:
    found = (await own_client.get("/api/v1/imports")).json()["data"]["found"]
    assert [(row["source"], row["files"], row["bytes"]) for row in found] == [("aider", 1, 2048)]
    answer = await own_client.post("/api/v1/imports", json={"source": "aider"})
    assert answer.status_code == 202
    assert answer.json()["data"]["jobs"][0]["state"] == "queued"
    assert own_host.state.audit_log()[0].action == "import"
    assert (await own_client.post("/api/v1/imports", json={"source": "codex"})).status_code == 404
    assert (
        await own_client.post("/api/v1/imports", json={"source": "aider", "paths": ["/etc/passwd"]})
    ).status_code == 422


async def test_demo_data_is_shown_apart_and_removed(own_client: httpx.AsyncClient) -> None:
    assert (await own_client.post("/api/v1/demo")).json() == {"data": {"active": True}}
    shown = (await own_client.get("/api/v1/totals", params={"range": "all"})).json()["data"]
    assert shown["operations"] == 1
    assert (await own_client.get("/api/v1/status")).json()["operations"] == len(OPERATIONS)
    assert (await own_client.get("/api/v1/live")).json()["data"]["health"]["demo"] is True
    assert (await own_client.delete("/api/v1/demo")).json() == {"data": {"active": False}}
    assert (await own_client.get("/api/v1/status")).json()["operations"] == len(OPERATIONS)


async def test_an_operation_sent_while_the_demo_is_shown_is_kept_as_real(own_client: httpx.AsyncClient) -> None:
    await own_client.post("/api/v1/demo")
    await own_client.post("/api/v1/operations", json={"name": "mine", "operation_id": "mine", "started_at": NOW_US})
    assert (await own_client.get("/api/v1/operations/mine")).status_code == 404
    await own_client.delete("/api/v1/demo")
    assert (await own_client.get("/api/v1/operations/mine")).status_code == 200


async def test_unexpected_errors_tell_nothing_but_a_request_id(own_host: SmallHost) -> None:
    def broken() -> Any:
        raise RuntimeError("secret detail in /home/me")

    own_host.discover = broken
    async with client_of(own_host) as client:
        answer = await client.get("/api/v1/imports")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_path_nobody_serves_is_told_apart_for_programs(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/nothing", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    answer = await client.delete("/api/v1/status")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_a_single_costly_call_is_seen_with_its_drift(tmp_path: Path) -> None:
    with small_host(tmp_path / "drift") as host:
        host.store(
            make_operation("a", started_at=NOW_US, reported_usd=Decimal("0.0135"), computed_usd=Decimal("0.0035"))
        )
        async with client_of(host) as client:
            rows = (await client.get("/api/v1/drift")).json()["data"]
    assert [(row["model"], row["abs_drift_usd"]) for row in rows] == [("gpt-4o", "0.01")]
