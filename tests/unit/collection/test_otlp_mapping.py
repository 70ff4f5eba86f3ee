"""What a span says becomes what an operation means, the same from protobuf and from JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ralex_core.collection.otlp import Decoded, decode_traces
from ralex_core.collection.otlp_json import decode_json_traces
from ralex_core.collection.redaction import WITHOUT_TEXT, Redaction
from ralex_core.model.operation import Operation, Pricing
from tests.support.spans import SPAN_ID, START_NS, TRACE_ID, json_bytes, make_request, make_span

Decode = Callable[..., Decoded]


def from_protobuf(request: ExportTraceServiceRequest, **options: Any) -> Decoded:
    return decode_traces(request.SerializeToString(), **options)


def from_json(request: ExportTraceServiceRequest, **options: Any) -> Decoded:
    return decode_json_traces(json_bytes(request), **options)


@pytest.fixture(params=[from_protobuf, from_json], ids=["protobuf", "json"])
def decode(request: pytest.FixtureRequest) -> Decode:
    return request.param


@pytest.fixture
def read(decode: Decode) -> Callable[..., Operation]:
    """One span, given as the arguments of `make_span`, as the operation it becomes."""

    def read_span(
        *arguments: Any, resource: Mapping[str, Any] | None = None, scope: str = "", **named: Any
    ) -> Operation:
        decoded = decode(make_request(make_span(*arguments, **named), resource=resource, scope=scope))
        assert decoded.rejected == 0, decoded.reasons
        (operation,) = decoded.operations
        return operation

    return read_span


def attributes_of(operation: Operation) -> dict[str, Any]:
    return json.loads(operation.attributes) if operation.attributes else {}


CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 80,
}


def test_a_call_to_a_model_carries_everything_the_conventions_say(read: Callable[..., Operation]) -> None:
    operation = read(
        "chat gpt-4o",
        {
            **CHAT,
            "gen_ai.response.model": "gpt-4o-2024-11-20",
            "gen_ai.response.id": "chatcmpl-1",
            "gen_ai.conversation.id": "conversation-7",
            "gen_ai.usage.cache_read.input_tokens": 1000,
            "gen_ai.usage.cache_creation.input_tokens": 100,
            "gen_ai.usage.reasoning.output_tokens": 30,
            "gen_ai.openai.response.service_tier": "flex",
            "gen_ai.response.time_to_first_chunk": 0.42,
            "gen_ai.usage.cost": 0.0031,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.request.temperature": 0.2,
            "user.id": "ada",
            "http.response.status_code": 200,
            "server.address": "api.openai.com",
            "ralex.feature": "refactoring",
            "ralex.outcome": "accepted",
            "ralex.value_usd": "12.50",
        },
        parent_span_id=bytes.fromhex("00f067aa0ba902b7"),
        kind=3,
        duration_ms=2500,
        resource={"service.name": "assistant", "service.namespace": "checkout", "service.version": "3.1"},
        scope="opentelemetry.instrumentation.openai",
    )
    assert operation == Operation(
        operation_id="5b8efff798038103eee19b7ec3c1b174",
        kind="llm",
        name="chat gpt-4o",
        started_at=START_NS // 1000,
        duration_ms=2500.0,
        status="ok",
        trace_id=TRACE_ID.hex(),
        span_id=SPAN_ID.hex(),
        parent_span_id="00f067aa0ba902b7",
        ttft_ms=420.0,
        http_status=200,
        service="assistant",
        project="checkout",
        user_id="ada",
        session_id="conversation-7",
        feature="refactoring",
        provider="openai",
        requested_model="gpt-4o",
        model="gpt-4o-2024-11-20",
        service_tier="flex",
        input_tokens=1200,
        cache_read_tokens=1000,
        cache_write_tokens=100,
        output_tokens=80,
        reasoning_tokens=30,
        reported_usd=Decimal("0.0031"),
        outcome="accepted",
        value_usd=Decimal("12.50"),
        door="otlp",
        source="opentelemetry.instrumentation.openai",
        provider_request_id="chatcmpl-1",
        attributes=operation.attributes,
    )
    assert attributes_of(operation) == {
        "resource.service.version": "3.1",
        "gen_ai.operation.name": "chat",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.request.temperature": 0.2,
        "server.address": "api.openai.com",
    }


def test_nothing_that_is_not_said_is_made_up(read: Callable[..., Operation]) -> None:
    operation = read("step")
    assert operation == Operation(
        operation_id="5b8efff798038103eee19b7ec3c1b174",
        kind="task",
        name="step",
        started_at=START_NS // 1000,
        duration_ms=1500.0,
        trace_id=TRACE_ID.hex(),
        span_id=SPAN_ID.hex(),
        door="otlp",
    )
    assert operation[Operation._fields.index("tier") :][: len(Pricing._fields)] == tuple(Pricing())


@pytest.mark.parametrize(
    ("attributes", "fields"),
    [
        (
            {"gen_ai.system": "openai", "gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 3},
            {"provider": "openai", "input_tokens": 7, "output_tokens": 3},
        ),
        (
            {
                "openinference.span.kind": "LLM",
                "llm.model_name": "claude-sonnet-4-5",
                "llm.provider": "anthropic",
                "llm.token_count.prompt": 50,
                "llm.token_count.completion": 20,
                "llm.token_count.prompt_details.cache_read": 10,
                "llm.token_count.completion_details.reasoning": 5,
                "llm.cost.total": 0.5,
                "session.id": "s",
            },
            {
                "kind": "llm",
                "provider": "anthropic",
                "model": "claude-sonnet-4-5",
                "requested_model": None,
                "input_tokens": 50,
                "output_tokens": 20,
                "cache_read_tokens": 10,
                "reasoning_tokens": 5,
                "reported_usd": Decimal("0.5"),
                "session_id": "s",
            },
        ),
        (
            {**CHAT, "gen_ai.usage.details.cache_read_tokens": 20, "operation.cost": 0.00188125},
            {"cache_read_tokens": 20, "reported_usd": Decimal("0.00188125")},
        ),
        (
            {
                **CHAT,
                "gen_ai.usage.input_tokens.cached": 200,
                "gen_ai.usage.input_tokens.cache_write": 100,
                "gen_ai.usage.output_tokens.reasoning": 10,
            },
            {"cache_read_tokens": 200, "cache_write_tokens": 100, "reasoning_tokens": 10, "input_tokens": 1200},
        ),
        (
            {**CHAT, "metadata.user_api_key_user_id": "u", "gen_ai.cost.total_cost": 0.25},
            {"user_id": "u", "reported_usd": Decimal("0.25")},
        ),
        (
            {"langfuse.observation.type": "generation", "langfuse.user.id": "u", "langfuse.session.id": "s"},
            {"kind": "llm", "user_id": "u", "session_id": "s"},
        ),
    ],
    ids=["deprecated", "openinference", "logfire", "sentry", "litellm", "langfuse"],
)
def test_other_dialects_say_the_same_things(
    read: Callable[..., Operation], attributes: dict[str, Any], fields: dict[str, Any]
) -> None:
    operation = read("call", {"gen_ai.operation.name": "chat", **attributes})
    assert {field: getattr(operation, field) for field in fields} == fields


def test_the_better_name_wins_whatever_the_order_and_a_contradiction_stays_readable(
    read: Callable[..., Operation],
) -> None:
    same = {"gen_ai.usage.prompt_tokens": 1200, "llm.token_count.prompt": 1200, "gen_ai.system": "openai"}
    other = {"gen_ai.usage.prompt_tokens": 999}
    for attributes in ({**CHAT, **same}, {**same, **CHAT}):
        operation = read("call", attributes)
        assert operation.input_tokens == 1200
        assert attributes_of(operation) == {"gen_ai.operation.name": "chat"}
    for attributes in ({**CHAT, **other}, {**other, **CHAT}):
        operation = read("call", attributes)
        assert operation.input_tokens == 1200
        assert attributes_of(operation) == {
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.prompt_tokens": 999,
        }


@pytest.mark.parametrize(
    ("name", "attributes", "span_kind", "kind"),
    [
        ("chat x", {"gen_ai.operation.name": "chat"}, 3, "llm"),
        ("x", {"gen_ai.operation.name": "text_completion"}, 3, "llm"),
        ("x", {"gen_ai.operation.name": "generate_content"}, 3, "llm"),
        ("x", {"gen_ai.operation.name": "embeddings"}, 3, "llm"),
        ("x", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "grep"}, 1, "tool"),
        ("x", {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "gpt-4o"}, 1, "task"),
        ("x", {"gen_ai.operation.name": "create_agent"}, 1, "task"),
        ("x", {"gen_ai.operation.name": "invoke_workflow"}, 1, "task"),
        ("x", {"gen_ai.operation.name": "retrieval"}, 3, "db"),
        ("x", {"openinference.span.kind": "RETRIEVER"}, 1, "db"),
        ("x", {"openinference.span.kind": "EMBEDDING"}, 1, "llm"),
        ("x", {"openinference.span.kind": "CHAIN"}, 1, "task"),
        ("x", {"openinference.span.kind": "UNKNOWN", "gen_ai.tool.name": "grep"}, 1, "tool"),
        ("x", {"traceloop.span.kind": "workflow"}, 1, "task"),
        ("x", {"llm.request.type": "chat"}, 3, "llm"),
        ("ai.generateText", {"ai.operationId": "ai.generateText", "ai.model.id": "m"}, 1, "task"),
        ("ai.generateText.doGenerate", {"ai.operationId": "ai.generateText.doGenerate"}, 1, "llm"),
        ("x", {"mcp.method.name": "tools/call"}, 3, "tool"),
        ("x", {"mcp.method.name": "initialize"}, 3, "task"),
        ("SELECT users", {"db.system.name": "postgresql"}, 3, "db"),
        ("SELECT users", {"db.system": "sqlite"}, 3, "db"),
        ("GET", {"http.request.method": "GET"}, 3, "api"),
        ("GET", {"http.method": "GET"}, 2, "api"),
        ("grpc", {"rpc.system": "grpc"}, 3, "api"),
        ("handler", {}, 2, "api"),
        ("anything", {}, 3, "task"),
        ("x", {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o"}, 3, "llm"),
        ("rent a car", {"model": "T"}, 1, "task"),
        ("claude_code.llm_request", {}, 1, "llm"),
        ("claude_code.tool", {"tool_name": "Bash"}, 1, "tool"),
        ("claude_code.tool.execution", {"tool_name": "Bash"}, 1, "task"),
        ("claude_code.interaction", {}, 1, "task"),
    ],
)
def test_the_kind_of_work_is_recognised(
    read: Callable[..., Operation], name: str, attributes: dict[str, Any], span_kind: int, kind: str
) -> None:
    assert read(name, attributes, kind=span_kind).kind == kind


def test_what_an_agent_adds_up_is_not_counted_a_second_time(read: Callable[..., Operation]) -> None:
    operation = read(
        "invoke_agent helper",
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "helper",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 900,
            "gen_ai.usage.cost": 0.2,
        },
    )
    assert (operation.kind, operation.workflow) == ("task", "helper")
    assert operation.input_tokens is None
    assert operation.model is None
    assert operation.reported_usd is None
    assert attributes_of(operation) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 900,
        "gen_ai.usage.cost": 0.2,
    }


def test_a_web_request_is_named_by_its_route(read: Callable[..., Operation]) -> None:
    route = {"http.route": "/users/{id}"}
    assert read("GET", {"http.request.method": "GET", **route}, kind=2).name == "GET /users/{id}"
    assert read("request", route, kind=2).name == "/users/{id}"
    assert read("GET /users/7", {"http.request.method": "GET"}, kind=2).name == "GET /users/7"


def test_a_span_without_a_name_is_named_by_what_it_does(read: Callable[..., Operation]) -> None:
    assert read("", {"gen_ai.operation.name": "chat"}).name == "chat"
    assert read("").name == "task"


def test_claude_code_spans_are_read_with_their_own_names_and_counting(
    read: Callable[..., Operation],
) -> None:
    operation = read(
        "claude_code.llm_request",
        {
            "session.id": "cec62d6f",
            "user.id": "anonymous-install",
            "user.email": "ada@example.org",
            "terminal.type": "vscode",
            "gen_ai.system": "anthropic",
            "gen_ai.request.model": "claude-opus-4-5",
            "model": "claude-opus-4-5",
            "input_tokens": 2000,
            "output_tokens": "1200",
            "cache_read_tokens": 100,
            "cache_creation_tokens": 50,
            "ttft_ms": 812.5,
            "attempt": 2,
            "success": True,
            "stop_reason": "tool_use",
            "gen_ai.response.id": "req_011",
            "request_id": "req_011",
            "speed": "fast",
        },
        duration_ms=9000,
    )
    assert operation.kind == "llm"
    assert operation.input_tokens == 2150  # Claude Code never includes what was cached
    assert (operation.cache_read_tokens, operation.cache_write_tokens) == (100, 50)
    assert operation.output_tokens == 1200
    assert operation.ttft_ms == 812.5
    assert operation.attempt == 2
    assert operation.client == "vscode"
    assert operation.user_id == "ada@example.org"
    assert operation.provider_request_id == "req_011"
    assert operation.service_tier == "fast"
    assert operation.status == "ok"
    assert attributes_of(operation) == {"user.id": "anonymous-install", "stop_reason": "tool_use"}


def test_a_claude_code_request_that_did_not_succeed_is_an_error(read: Callable[..., Operation]) -> None:
    operation = read("claude_code.llm_request", {"success": False, "status_code": 529})
    assert (operation.status, operation.error_type, operation.http_status) == ("error", "529", 529)


BROADCAST = {
    **CHAT,
    "gen_ai.provider.name": "anthropic",
    "gen_ai.usage.total_cost": 0.0123,
    "gen_ai.usage.output_tokens.reasoning": 40,
    "trace.metadata.openrouter.api_key_name": "team",
    "trace.metadata.openrouter.provider_slug": "anthropic",
    "trace.metadata.feature": "review",
    "user.id": "u",
    "session.id": "s",
}


def test_the_cost_in_an_openrouter_broadcast_is_billed_not_reported(read: Callable[..., Operation]) -> None:
    operation = read("LLM Generation", BROADCAST)
    assert operation.billed_usd == Decimal("0.0123")
    assert operation.reported_usd is None
    assert (operation.provider, operation.feature) == ("openrouter", "review")
    assert attributes_of(operation)["trace.metadata.openrouter.provider_slug"] == "anthropic"


def test_the_same_cost_from_anybody_else_is_only_reported(read: Callable[..., Operation]) -> None:
    others = {key: value for key, value in BROADCAST.items() if "openrouter" not in key}
    operation = read("LLM Generation", others)
    assert (operation.billed_usd, operation.reported_usd) == (None, Decimal("0.0123"))


def test_the_parts_of_a_broadcast_call_are_not_calls(read: Callable[..., Operation]) -> None:
    attributes = {"gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai"}
    assert read("provider attempt 1: OpenAI", attributes).kind == "task"


@pytest.mark.parametrize("cost", [-0.5, float("nan"), "free", True, 1e13])
def test_a_cost_that_is_no_amount_of_money_is_shown_but_not_counted(read: Callable[..., Operation], cost: Any) -> None:
    operation = read("call", {**CHAT, "gen_ai.usage.cost": cost})
    assert operation.reported_usd is None
    assert "gen_ai.usage.cost" in attributes_of(operation)


@pytest.mark.parametrize("cost", [0.000123456789, 1.5e-07, 0.1, 12, "0.07", 0.00012345678901234567, 3.0, 0.0])
def test_a_cost_is_taken_exactly(read: Callable[..., Operation], cost: Any) -> None:
    operation = read("call", {**CHAT, "gen_ai.usage.cost": cost})
    assert operation.reported_usd is not None
    assert abs(operation.reported_usd - Decimal(str(cost))) < Decimal("1e-18")


def test_usage_of_zero_and_zero_on_a_call_that_went_through_is_not_known(
    read: Callable[..., Operation],
) -> None:
    nothing = {**CHAT, "gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}
    operation = read("call", nothing)
    assert (operation.input_tokens, operation.output_tokens) == (None, None)
    refused = read("call", nothing, status=2)
    assert (refused.input_tokens, refused.output_tokens) == (0, 0)


def test_an_error_is_named_by_the_best_witness(read: Callable[..., Operation]) -> None:
    exception = ("exception", 10.0, {"exception.type": "RateLimitError", "exception.message": "slow down"})
    explicit = read("x", {"error.type": "timeout"}, status=2, message="no answer", events=[exception])
    assert (explicit.status, explicit.error_type) == ("error", "timeout")
    assert attributes_of(explicit) == {}, "messages quote what failed"
    assert read("x", status=2, events=[exception]).error_type == "RateLimitError"
    assert read("x", status=2, message="openai.APITimeoutError: timed out").error_type == "openai.APITimeoutError"
    assert read("x", {"http.status_code": 502}, status=2, message="bad gateway").error_type == "502"
    assert read("x", status=2, message="something broke").error_type == "error"


def test_an_exception_that_was_handled_is_no_error(read: Callable[..., Operation]) -> None:
    exception = ("exception", 10.0, {"exception.type": "KeyError"})
    assert read("x", events=[exception]).status == "ok"
    declared_fine = read("x", {"error.type": "timeout"}, status=1)
    assert (declared_fine.status, declared_fine.error_type) == ("ok", None)


def test_an_error_type_alone_means_failure(read: Callable[..., Operation]) -> None:
    assert read("x", {"error.type": "timeout"}).status == "error"


def test_work_somebody_stopped_is_cancelled(read: Callable[..., Operation]) -> None:
    operation = read("x", {"error.type": "asyncio.CancelledError"}, status=2)
    assert (operation.status, operation.error_type) == ("cancelled", "asyncio.CancelledError")


@pytest.mark.parametrize(
    ("attributes", "ttft_ms"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.25}, 250.0),
        ({"gen_ai.server.time_to_first_token": 300.0}, 300.0),  # some write milliseconds where seconds are meant
        ({"ttft_ms": "120"}, 120.0),
        ({"ttft_ms": 99_999}, None),
        ({"gen_ai.response.time_to_first_chunk": -1.0}, None),
        ({"langfuse.observation.completion_start_time": '"2026-01-01T00:00:00.500Z"'}, 500.0),
        ({"langfuse.observation.completion_start_time": "soon"}, None),
    ],
)
def test_time_to_first_token_is_in_milliseconds_and_within_the_call(
    read: Callable[..., Operation], attributes: dict[str, Any], ttft_ms: float | None
) -> None:
    assert read("call", {**CHAT, **attributes}, duration_ms=1500).ttft_ms == ttft_ms


def test_time_to_first_token_is_read_from_an_event_too(read: Callable[..., Operation]) -> None:
    assert read("call", CHAT, events=[("First Token Stream Event", 75, {})]).ttft_ms == 75.0


SECRETS = {
    "gen_ai.input.messages": '[{"role": "user"}]',
    "gen_ai.prompt.0.content": "what people wrote",
    "input.value": "what people wrote",
    "gen_ai.tool.call.arguments": '{"path": "/etc"}',
}


def test_prompts_and_answers_are_dropped_at_the_door(decode: Decode) -> None:
    request = make_request(make_span("call", {**CHAT, **SECRETS}), resource={"user_prompt": "also here"})
    (operation,) = decode(request).operations
    kept = attributes_of(operation)
    assert len(kept.pop("fingerprint.arguments")) == 16
    assert kept == {"gen_ai.operation.name": "chat"}


def test_prompts_and_answers_pass_when_asked_for(decode: Decode) -> None:
    (operation,) = decode(
        make_request(make_span("call", {**CHAT, **SECRETS})), redaction=Redaction(keep_text=True)
    ).operations
    assert attributes_of(operation) == {"gen_ai.operation.name": "chat", **SECRETS}


def test_exceptions_leave_no_stack_trace(read: Callable[..., Operation]) -> None:
    event = ("exception", 1.0, {"exception.type": "E", "exception.stacktrace": "line with a secret"})
    assert attributes_of(read("x", status=2, events=[event])) == {}


def test_attributes_keep_their_types(read: Callable[..., Operation]) -> None:
    values = {
        "word": "x" * 100,
        "number": -7,
        "large": 2**62,
        "ratio": 0.25,
        "flag": False,
        "zero": 0,
        "list": [2, 1, True],
        "map": {"inner": {"deep": 1}},
    }
    prefixed = {f"my.{key}": value for key, value in values.items()}
    assert attributes_of(read("x", prefixed)) == prefixed


@pytest.mark.parametrize("value", ["x" * 300, "two words", "東京", ["a", "b"], '{"a":1}', "a\nb"])
def test_text_under_an_unknown_name_is_dropped(read: Callable[..., Operation], value: Any) -> None:
    assert attributes_of(read("x", {"my.value": value, "my.number": 1})) == {"my.number": 1}


def test_bytes_are_base64_and_unset_or_empty_values_are_absent(read: Callable[..., Operation]) -> None:
    assert attributes_of(read("x", {"b": b"\x00\x01\x02", "nothing": None, "empty": ""})) == {"b": "AAEC"}


def test_a_value_of_the_wrong_type_stays_an_attribute_or_becomes_text(read: Callable[..., Operation]) -> None:
    operation = read("call", {**CHAT, "user.id": 42, "session.id": ["a", "b"], "ralex.outcome": "splendid"})
    assert operation.user_id == "42"
    assert operation.session_id is None
    assert operation.outcome == "unknown"
    assert attributes_of(operation)["session.id"] == ["a", "b"]


def test_overlong_ids_and_names_are_cut(read: Callable[..., Operation]) -> None:
    operation = read("n" * 1000, {"user.id": "u" * 1000, "error.type": "e" * 1000})
    assert len(operation.name) == len(operation.user_id or "") == 256
    assert len(WITHOUT_TEXT.error_type(operation.error_type or "")) == 200


def test_a_resource_says_who_and_where_for_all_its_spans_but_not_what_they_used(
    read: Callable[..., Operation],
) -> None:
    resource = {
        "service.name": "agent",
        "user.id": "resource-user",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.cost": "abc",
        "team.id": "platform",
        "host.name": "laptop-3",
        "telemetry.sdk.version": "1.30.0",
        "process.pid": 7,
    }
    operation = read("call", {**CHAT, "user.id": "span-user"}, resource=resource)
    assert (operation.service, operation.user_id, operation.input_tokens) == ("agent", "span-user", 1200)
    assert attributes_of(operation) == {
        "gen_ai.operation.name": "chat",
        "resource.gen_ai.usage.input_tokens": 5,
        "resource.gen_ai.usage.cost": "abc",
        "resource.team.id": "platform",
        "resource.host.name": "laptop-3",
    }
    assert read("call", CHAT, resource=resource).user_id == "resource-user"


def test_spans_of_one_request_share_nothing_but_their_resource(decode: Decode) -> None:
    spans = [
        make_span(f"s{number}", {**CHAT, "user.id": f"u{number}"}, span_id=bytes([1] * 7 + [number + 1]))
        for number in range(3)
    ]
    operations = decode(make_request(*spans, resource={"service.name": "a"})).operations
    assert [(one.name, one.user_id, one.service) for one in operations] == [
        ("s0", "u0", "a"),
        ("s1", "u1", "a"),
        ("s2", "u2", "a"),
    ]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"trace_id": bytes(16)}, "trace id"),
        ({"trace_id": b"\x01" * 8}, "trace id"),
        ({"trace_id": b""}, "trace id"),
        ({"span_id": bytes(8)}, "span id"),
        ({"span_id": b"\x01" * 16}, "span id"),
        ({"parent_span_id": b"\x01" * 4}, "parent span id"),
        ({"start_ns": 0, "end_ns": START_NS}, "start time"),
        ({"end_ns": 0}, "never ended"),
        ({"end_ns": START_NS - 1}, "before it starts"),
        ({"start_ns": 10**9, "end_ns": 2 * 10**9}, "years 2000 and 2100"),
        ({"start_ns": START_NS * 3, "end_ns": START_NS * 3 + 1}, "years 2000 and 2100"),
        ({"end_ns": START_NS + 4 * 366 * 86_400 * 10**9}, "three years"),
        ({"end_ns": 2**63 + 5}, "span 'bad'"),  # JSON has no such number: there it never ended
    ],
)
def test_a_span_that_cannot_be_is_rejected_alone_and_with_a_reason(
    decode: Decode, broken: dict[str, Any], reason: str
) -> None:
    good = make_span("good", CHAT)
    decoded = decode(make_request(good, make_span("bad", CHAT, **broken), make_span("good too", CHAT)))
    assert [operation.name for operation in decoded.operations] == ["good", "good too"]
    assert decoded.rejected == 1
    assert reason in decoded.reasons[0]
    assert "'bad'" in decoded.reasons[0]


def test_reasons_are_few_however_many_spans_are_broken(decode: Decode) -> None:
    broken = [make_span(f"bad {number}", end_ns=0) for number in range(50)]
    decoded = decode(make_request(*broken, *(make_span("same", end_ns=0) for _ in range(5))))
    assert decoded.rejected == 55
    assert len(decoded.reasons) == 3


def test_a_parent_of_zeros_is_no_parent(read: Callable[..., Operation]) -> None:
    assert read("x", parent_span_id=bytes(8)).parent_span_id is None


def test_a_span_of_no_duration_is_taken(read: Callable[..., Operation]) -> None:
    assert read("x", duration_ms=0).duration_ms == 0.0


def test_an_empty_request_is_fine(decode: Decode) -> None:
    assert decode(ExportTraceServiceRequest()).operations == []


SQL = {"db.system.name": "postgresql", "db.namespace": "shop", "db.query.text": "SELECT * FROM users WHERE id = 42"}


def test_a_database_span_is_named_by_its_statement_without_literals(read: Callable[..., Operation]) -> None:
    operation = read("SELECT users", SQL)
    told = attributes_of(operation)
    assert (operation.kind, operation.name) == ("db", "SELECT * FROM users WHERE id = ?")
    assert told["db.system.name"] == "postgresql"
    assert told["db.namespace"] == "shop"
    assert told["db.operation.name"] == "SELECT"
    assert len(told["db.query.hash"]) == 16
    assert "42" not in (operation.attributes or "")


def test_equal_statements_have_one_name_in_old_conventions_too(read: Callable[..., Operation]) -> None:
    old = {
        "db.system": "mysql",
        "db.name": "shop",
        "db.statement": "select * from t where a = 'secret' and b in (1, 2)",
    }
    operation = read("shop.query", old)
    assert operation.name == read("other", {**old, "db.statement": "select * from t where a = 'x' and b in (3)"}).name
    assert "secret" not in (operation.attributes or "")
    assert attributes_of(operation)["db.system.name"] == "mysql"


def test_only_slow_statements_keep_a_sample(read: Callable[..., Operation]) -> None:
    assert "db.query.sample" not in attributes_of(read("SELECT users", SQL, duration_ms=20))
    told = attributes_of(read("SELECT users", SQL, duration_ms=250))
    assert told["db.query.sample"] == "SELECT * FROM users WHERE id = <number>"


@pytest.mark.parametrize(
    "attributes",
    [
        {"db.system.name": "redis", "db.query.text": "GET user:7"},
        {"db.system.name": "postgresql"},
        {"db.system.name": "postgresql", "db.query.text": "  "},
    ],
)
def test_a_database_span_without_sql_keeps_its_name(read: Callable[..., Operation], attributes: dict[str, Any]) -> None:
    operation = read("GET", attributes)
    assert (operation.kind, operation.name) == ("db", "GET")
