"""The OpenTelemetry SDK's own counters and histograms, exported to the real server process."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from tests.support.server import Server, running

DELTA = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}
MODEL = "claude-sonnet-4-5"


class Assistant:
    """A process that counts what it uses, and exports when it is told to."""

    def __init__(self, url: str, service: str, *, delta: bool, views: tuple[View, ...] = ()) -> None:
        exporter = OTLPMetricExporter(
            f"{url}/v1/metrics",
            preferred_temporality=DELTA if delta else None,  # type: ignore[arg-type]
            compression=Compression.Gzip,
            timeout=10,
        )
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
        resource = Resource.create({"service.name": service})
        self.provider = MeterProvider([reader], resource, views=views, shutdown_on_exit=False)
        self.meter = self.provider.get_meter("my.meter")

    def export(self) -> None:
        assert self.provider.force_flush(10_000)

    def close(self) -> None:
        self.provider.shutdown()


def totals(server: Server) -> tuple[int, int, Decimal]:
    status = server.status()
    return status["input_tokens"], status["output_tokens"], Decimal(str(status["cost"]["reported_usd"]))


@pytest.mark.process
def test_counters_of_the_sdk_count_once_delta_and_cumulative_across_a_restart(tmp_path: Path) -> None:
    with running(tmp_path / "home") as server:
        assistants = [
            (Assistant(server.url, "claude-code", delta=delta), f"session-{delta}") for delta in (True, False)
        ]
        for round_ in range(4):
            for assistant, session in assistants:
                used = assistant.meter.create_counter("claude_code.token.usage", "tokens")
                cost = assistant.meter.create_counter("claude_code.cost.usage", "USD")
                common = {"session.id": session, "model": MODEL}
                used.add(1000, {**common, "type": "input"})
                used.add(200, {**common, "type": "cacheRead"})
                used.add(50, {**common, "type": "output"})
                cost.add(0.004, common)
                assistant.export()
            if round_ == 1:
                server.kill()
                server.start()
        for assistant, _ in assistants:
            assistant.close()
        assert totals(server) == (2 * 4 * 1200, 2 * 4 * 50, Decimal("0.032"))
        counters = server.request("GET", "/metrics").body.decode()
        assert "ralex_monitor_otlp_data_points_total" in counters


@pytest.mark.process
@pytest.mark.parametrize("exponential", [False, True])
@pytest.mark.parametrize("delta", [False, True])
def test_histograms_of_the_sdk_are_sums(tmp_path: Path, exponential: bool, delta: bool) -> None:
    views = (View(instrument_name="*", aggregation=ExponentialBucketHistogramAggregation()),) if exponential else ()
    with running(tmp_path / "home") as server:
        assistant = Assistant(server.url, "my-agent", delta=delta, views=views)
        used = assistant.meter.create_histogram("gen_ai.client.token.usage", "{token}")
        duration = assistant.meter.create_histogram("gen_ai.client.operation.duration", "s")
        common = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini"}
        for _ in range(3):
            used.record(700, {**common, "gen_ai.token.type": "input"})
            used.record(30, {**common, "gen_ai.token.type": "output"})
            duration.record(1.5, common)
            assistant.export()
        assistant.close()
        assert totals(server)[:2] == (2100, 90)
