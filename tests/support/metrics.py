"""OTLP metric exports to send, in both encodings, and a monitor to send them to, without a server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from fastapi import FastAPI
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from ralex_core.clock import SystemClock
from ralex_core.collection.otlp_http import otlp_router
from ralex_core.config import Settings
from ralex_core.model.operation import Operation
from ralex_core.pricing.book import PriceBook
from ralex_core.runtime.dataset import DataSet
from ralex_core.selfmetrics import SelfMetrics
from tests.support.spans import key_values

AT_NS = 1_790_000_000_000_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
PROTOBUF, JSON = "application/x-protobuf", "application/json"
MODEL = "claude-sonnet-4-5"
CLAUDE_RESOURCE = {"service.name": "claude-code", "service.version": "2.1.161"}
CLAUDE_SCOPE = "com.anthropic.claude_code"


class Sum(NamedTuple):
    """One data point of a counter."""

    metric: str
    attributes: Mapping[str, Any]
    value: float
    start_ns: int = AT_NS
    time_ns: int = AT_NS + MINUTE_NS
    temporality: int = DELTA
    shape: str = "sum"
    monotonic: bool = True
    count: int = 1


def tokens(
    kind: str, value: float, *, session: str | None = "s", model: str = "claude-sonnet-4-5", **changes: Any
) -> Sum:
    """A point of Claude Code's token counter."""
    attributes = {"type": kind, "model": model, **({"session.id": session} if session else {})}
    return Sum("claude_code.token.usage", attributes, value, **changes)


def dollars(value: float, *, session: str | None = "s", model: str = MODEL, **changes: Any) -> Sum:
    """A point of Claude Code's cost counter."""
    attributes = {"model": model, **({"session.id": session} if session else {})}
    return Sum("claude_code.cost.usage", attributes, value, **changes)


def metrics_request(
    *points: Sum, resource: Mapping[str, Any] | None = None, scope: str = CLAUDE_SCOPE
) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    resource_metrics = request.resource_metrics.add()
    resource_metrics.resource.attributes.extend(key_values(CLAUDE_RESOURCE if resource is None else resource))
    scope_metrics = resource_metrics.scope_metrics.add()
    scope_metrics.scope.name = scope
    for one in points:
        metric = scope_metrics.metrics.add(name=one.metric)
        data: Any = getattr(metric, one.shape)
        if one.shape in ("sum", "histogram", "exponential_histogram"):
            data.aggregation_temporality = one.temporality
        if one.shape == "sum":
            data.is_monotonic = one.monotonic
        point = data.data_points.add(time_unix_nano=one.time_ns, attributes=key_values(one.attributes))
        point.start_time_unix_nano = one.start_ns
        if one.shape in ("sum", "gauge"):
            point.as_double = one.value
        else:
            point.count, point.sum = one.count, one.value
    return request


def metrics_json(request: ExportMetricsServiceRequest) -> dict[str, Any]:
    """The request as OTLP's JSON."""
    return MessageToDict(request, use_integers_for_enums=True)


class Totals(NamedTuple):
    """What the store says was used by calls to models."""

    input_tokens: int
    cache_read_tokens: int
    output_tokens: int
    reported_usd: float


class Monitor:
    """A store with its writer and doors, which can be closed and opened again over the same files."""

    def __init__(self, home: Path, **changes: Any) -> None:
        self.settings, self.metrics = Settings(home=home, **changes), SelfMetrics()
        self.book = PriceBook(self.settings)
        self.data = DataSet(
            home / "telemetry.duckdb", self.settings, clock=SystemClock(), book=self.book, metrics=self.metrics
        )
        app = FastAPI()
        app.include_router(otlp_router(lambda: self.data.intake, self.settings, self.metrics, lambda: self.data.store))
        self._transport = httpx.ASGITransport(app)

    async def post(self, path: str, body: bytes, content_type: str = PROTOBUF) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url="http://monitor") as client:
            return await client.post(path, content=body, headers={"content-type": content_type})

    async def send(self, *points: Sum, **around: Any) -> httpx.Response:
        """Export points in protobuf; the answer must be a 200."""
        response = await self.post("/v1/metrics", metrics_request(*points, **around).SerializeToString())
        assert response.status_code == 200, response.text
        return response

    async def send_json(self, *points: Sum, **around: Any) -> httpx.Response:
        body = json.dumps(metrics_json(metrics_request(*points, **around))).encode()
        response = await self.post("/v1/metrics", body, JSON)
        assert response.status_code == 200, response.text
        return response

    def totals(self) -> Totals:
        self.data.writer.flush()
        (row,) = self.data.store.query(
            "select coalesce(sum(input_tokens), 0), coalesce(sum(cache_read_tokens), 0), "
            "coalesce(sum(output_tokens), 0), coalesce(sum(reported_usd), 0) from operations where kind = 'llm'"
        )
        return Totals(int(row[0]), int(row[1]), int(row[2]), float(row[3]))

    def operations(self) -> Sequence[Operation]:
        """Everything stored, by time and id."""
        self.data.writer.flush()
        columns = ", ".join(Operation._fields)
        rows = self.data.store.query(f"select {columns} from operations order by started_at, operation_id")
        return [Operation._make(row) for row in rows]

    def close(self) -> None:
        self.data.close()
