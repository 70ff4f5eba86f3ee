"""The OpenTelemetry Python SDK and its exporter, talking to the door over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi import FastAPI
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from ralex_core.collection.otlp_http import otlp_router
from ralex_core.config import Settings
from ralex_core.selfmetrics import SelfMetrics
from tests.support.intake import MemoryIntake
from tests.support.live_app import serving


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_what_the_sdk_exports_is_stored(tmp_path: Path, compression: Compression) -> None:
    intake = MemoryIntake()
    app = FastAPI()
    app.include_router(otlp_router(lambda: intake, Settings(home=tmp_path), SelfMetrics()))
    with serving(app) as url:
        provider = TracerProvider(resource=Resource.create({"service.name": "my-agent", "team.id": "platform"}))
        exporter = OTLPSpanExporter(f"{url}/v1/traces", compression=compression, timeout=10)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = provider.get_tracer("my.instrumentation", "1.0")
        with tracer.start_as_current_span("invoke_agent reviewer") as agent:
            agent.set_attribute("gen_ai.operation.name", "invoke_agent")
            with tracer.start_as_current_span("chat gpt-4o", kind=SpanKind.CLIENT) as call:
                call.set_attributes(
                    {
                        "gen_ai.operation.name": "chat",
                        "gen_ai.provider.name": "openai",
                        "gen_ai.request.model": "gpt-4o",
                        "gen_ai.usage.input_tokens": 120,
                        "gen_ai.usage.output_tokens": 30,
                        "gen_ai.response.finish_reasons": ["stop"],
                        "session.id": "s-1",
                    }
                )
            with (
                pytest.raises(TimeoutError),
                tracer.start_as_current_span("execute_tool search") as tool,
            ):
                tool.set_attribute("gen_ai.tool.name", "search")
                raise TimeoutError("no answer")
        assert provider.force_flush(10_000)
        provider.shutdown()

    by_name = {operation.name: operation for operation in intake.stored.values()}
    assert set(by_name) == {"invoke_agent reviewer", "chat gpt-4o", "execute_tool search"}
    agent, call, tool = (by_name[name] for name in ("invoke_agent reviewer", "chat gpt-4o", "execute_tool search"))
    assert (agent.kind, call.kind, tool.kind) == ("task", "llm", "tool")
    assert call.parent_span_id == tool.parent_span_id == agent.span_id
    assert call.trace_id == agent.trace_id
    assert (call.provider, call.model, call.input_tokens, call.output_tokens) == ("openai", "gpt-4o", 120, 30)
    assert (call.service, call.session_id, call.source) == ("my-agent", "s-1", "my.instrumentation")
    assert (tool.status, tool.error_type) == ("error", "TimeoutError")
    attributes = json.loads(call.attributes or "{}")
    assert attributes["resource.team.id"] == "platform"
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]
