"""Events of coding assistants become operations: one fixture per assistant, event and version."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.collection.otlp import UnreadableRequest
from ralex_core.collection.otlp_events import EVENTS
from ralex_core.collection.otlp_logs import decode_json_logs, decode_logs
from ralex_core.collection.redaction import Redaction
from ralex_core.model.operation import KINDS, Operation
from tests.support.logs import AT_NS, claude, codex, decoded, gemini, logs_json, logs_request, make_record, read

API_REQUEST: dict[str, Any] = {
    "model": "claude-sonnet-4-5-20250929",
    "input_tokens": 12,
    "output_tokens": 340,
    "cache_read_tokens": 21_000,
    "cache_creation_tokens": 1_500,
    "cost_usd": 0.017046,
    "duration_ms": 4200,
    "ttft_ms": 810,
    "request_id": "req_011CSb",
    "speed": "normal",
    "query_source": "repl_main_thread",
    "event.sequence": 7,
}
COMPLETED: dict[str, Any] = {
    "event.kind": "response.completed",
    "input_token_count": 9000,
    "output_token_count": 500,
    "cached_token_count": 8000,
    "reasoning_token_count": 320,
    "tool_token_count": 9500,
}
RESPONSE: dict[str, Any] = {
    "model": "gemini-2.5-pro",
    "duration_ms": 3000,
    "input_token_count": 10_000,
    "output_token_count": 200,
    "cached_content_token_count": 8000,
    "thoughts_token_count": 900,
    "tool_token_count": 50,
    "total_token_count": 11_150,
    "prompt_id": "gemini-session########3",
    "auth_type": "oauth-personal",
    "status_code": 200,
}


def attributes_of(operation: Operation) -> dict[str, Any]:
    return json.loads(operation.attributes or "{}")


# --- Claude Code ------------------------------------------------------------------------------------------------


def test_a_call_of_claude_code_has_all_its_input_and_its_reported_cost() -> None:
    call = read(claude("api_request", API_REQUEST), resource={"service.name": "claude-code", "host.arch": "arm64"})
    assert (call.kind, call.name, call.status, call.service) == ("llm", "llm_request", "ok", "claude-code")
    assert (call.provider, call.model) == ("anthropic", "claude-sonnet-4-5-20250929")
    assert call.input_tokens == 12 + 21_000 + 1_500
    assert (call.cache_read_tokens, call.cache_write_tokens, call.output_tokens) == (21_000, 1_500, 340)
    assert (call.reported_usd, call.billed_usd) == (Decimal("0.017046"), None)
    assert (call.ttft_ms, call.duration_ms) == (810, 4200)
    assert call.started_at == AT_NS // 1000 - 4_200_000, "an event comes when the call ends"
    assert (call.session_id, call.user_id, call.client) == ("0b7a1f0e-session", "ada@example.org", "terminal")
    assert (call.provider_request_id, call.feature, call.service_tier) == ("req_011CSb", "repl_main_thread", None)
    assert (call.door, call.source) == ("otlp", "otlp-events")


def test_the_numbers_may_come_as_text() -> None:
    as_text = {key: str(value) for key, value in API_REQUEST.items()}
    one, other = read(claude("api_request", API_REQUEST)), read(claude("api_request", as_text))
    assert one._replace(attributes=None) == other._replace(attributes=None)


@pytest.mark.parametrize(
    "record",
    [
        claude("api_request", API_REQUEST),
        make_record("claude_code.api_request", API_REQUEST),
        make_record(None, {**API_REQUEST, "event.name": "claude_code.api_request"}),
        make_record(None, API_REQUEST, event_name="claude_code.api_request"),
        make_record("something else", {**API_REQUEST, "event.name": "api_request"}),
    ],
    ids=["both", "body only", "attribute only", "field of the record", "short attribute in its scope"],
)
def test_every_version_of_naming_an_event_is_understood(record: Any) -> None:
    assert read(record).kind == "llm"


def test_a_short_name_outside_its_scope_is_not_an_event_of_claude_code() -> None:
    found = decoded(make_record("x", {**API_REQUEST, "event.name": "api_request"}), scope="my.logger")
    assert (found.operations, found.unused) == ([], 1)


def test_fast_is_a_service_tier_and_other_speeds_are_not() -> None:
    assert read(claude("api_request", {**API_REQUEST, "speed": "fast"})).service_tier == "fast"
    assert read(claude("api_request", {**API_REQUEST, "speed": "standard"})).service_tier is None


def test_a_model_that_is_not_claude_came_through_somebody() -> None:
    assert read(claude("api_request", {**API_REQUEST, "model": "qwen/qwen3-coder"})).provider is None


def test_no_tokens_at_all_are_not_counted_and_no_cost_is_not_free() -> None:
    nothing = {"input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0, "cache_creation_tokens": 0, "cost_usd": 0}
    call = read(claude("api_request", {**API_REQUEST, **nothing}))
    assert (call.input_tokens, call.output_tokens, call.reported_usd) == (None, None, None)


def test_a_failed_call_is_an_error_of_unknown_usage() -> None:
    error = read(
        claude(
            "api_error",
            {
                "model": "claude-sonnet-4-5",
                "error": "529 overloaded",
                "status_code": "529",
                "attempt": 3,
                "duration_ms": 900,
            },
        )
    )
    assert (error.kind, error.status, error.error_type, error.http_status) == ("llm", "error", "529", 529)
    assert (error.attempt, error.outcome, error.input_tokens) == (3, "failed", None)
    assert "overloaded" not in str(error), "messages quote what failed"


def test_each_attempt_of_a_request_is_an_operation_of_its_own() -> None:
    attempts = [claude("api_error", {"request_id": "r", "attempt": attempt}, at_ns=AT_NS) for attempt in (1, 2, 3)]
    assert len({operation.operation_id for operation in decoded(*attempts).operations}) == 3


def test_a_tool_result_is_a_tool_operation_without_what_the_tool_read_or_said() -> None:
    tool = read(
        claude(
            "tool_result",
            {
                "tool_name": "Bash",
                "tool_use_id": "toolu_1",
                "success": "false",
                "duration_ms": "250",
                "error": "cat: /home/ada/secret-plan.txt: No such file",
                "error_type": "ShellError",
                "decision_type": "accept",
                "tool_parameters": '{"bash_command": "cat secret-plan.txt"}',
                "tool_input": "cat secret-plan.txt",
                "tool_result_size_bytes": 90,
            },
        )
    )
    assert (tool.kind, tool.name, tool.status, tool.error_type) == ("tool", "Bash", "error", "ShellError")
    assert (tool.duration_ms, tool.outcome) == (250, "failed")
    assert "secret-plan" not in str(tool)
    assert attributes_of(tool)["tool_result_size_bytes"] == 90


def test_a_refused_tool_is_cancelled_and_rejected() -> None:
    refused = read(claude("tool_decision", {"tool_name": "Edit", "tool_use_id": "t", "decision": "reject"}))
    assert (refused.kind, refused.name, refused.status, refused.outcome) == ("tool", "Edit", "cancelled", "rejected")
    accepted = decoded(claude("tool_decision", {"tool_name": "Edit", "tool_use_id": "t", "decision": "accept"}))
    assert (accepted.operations, accepted.unused) == ([], 1), "the result says the rest"


def test_a_prompt_and_what_is_done_for_it_are_one_trace_and_its_text_is_not_stored() -> None:
    found = decoded(
        claude("user_prompt", {"prompt": "please fix the login", "prompt_length": 20}),
        claude("api_request", API_REQUEST),
        claude("tool_result", {"tool_name": "Read", "tool_use_id": "t1", "success": "true"}),
        claude("api_request", {**API_REQUEST, "request_id": "req_2", "prompt.id": "prompt-2"}),
    )
    prompt, call, tool, other = found.operations
    assert prompt.trace_id == call.trace_id == tool.trace_id != other.trace_id
    assert (prompt.kind, prompt.name) == ("task", "user_prompt")
    assert "login" not in str(prompt)
    assert attributes_of(prompt)["prompt_length"] == 20


def test_content_stays_when_it_is_asked_for() -> None:
    request = logs_request(claude("user_prompt", {"prompt": "please fix the login"}))
    (operation,) = decode_logs(request.SerializeToString(), redaction=Redaction(keep_text=True)).operations
    assert attributes_of(operation)["prompt"] == "please fix the login"


def test_a_record_inside_a_span_belongs_to_its_trace() -> None:
    call = read(claude("api_request", API_REQUEST, trace_id=b"\x01" * 16, span_id=b"\x02" * 8))
    assert (call.trace_id, call.parent_span_id) == ("01" * 16, "02" * 8)


@pytest.mark.parametrize(
    ("attributes", "client"),
    [
        ({"terminal.type": "vscode"}, "vscode"),
        ({"terminal.type": "cursor"}, "cursor"),
        ({"terminal.type": "ghostty"}, "terminal"),
        ({"terminal.type": "", "app.entrypoint": "sdk-py"}, "sdk"),
        ({"terminal.type": "tmux", "app.entrypoint": "claude-vscode"}, "vscode"),
        ({"terminal.type": "tmux", "app.entrypoint": "cli"}, "terminal"),
        ({"ralex.client": "phone"}, "phone"),
    ],
)
def test_the_client_is_told_by_entrypoint_and_terminal(attributes: dict[str, Any], client: str) -> None:
    assert read(claude("api_request", {**API_REQUEST, **attributes})).client == client


def test_the_project_is_the_named_one_or_the_workspace() -> None:
    paths = {"workspace.host_paths": ["/home/ada/work/checkout/", "/home/ada/other"]}
    assert read(claude("api_request", {**API_REQUEST, **paths})).project == "checkout"
    resource = {"ralex.project": "shop"}
    assert read(claude("api_request", {**API_REQUEST, **paths}), resource=resource).project == "shop"


# --- Codex ------------------------------------------------------------------------------------------------------


def test_a_completed_response_of_codex_is_one_call_with_its_parts_inside() -> None:
    call = read(codex("sse_event", COMPLETED), resource={"service.name": "codex_cli_rs"}, scope="")
    assert (call.kind, call.name, call.service) == ("llm", "responses", "codex_cli_rs")
    assert (call.provider, call.model) == ("openai", "gpt-5-codex")
    assert (call.input_tokens, call.cache_read_tokens) == (9000, 8000)
    assert (call.output_tokens, call.reasoning_tokens) == (500, 320)
    assert (call.session_id, call.user_id, call.client) == ("019a-conversation", "ada@example.org", "vscode")
    assert call.started_at == 1_790_000_000_250_000, "the record has no time: the attribute tells it"
    assert call.duration_ms is None


def test_the_other_events_of_a_stream_are_not_used() -> None:
    kinds = ("response.created", "response.output_text.delta", "response.output_item.done")
    noise = [codex("sse_event", {"event.kind": kind, "duration_ms": "3"}) for kind in kinds]
    raw_completed = codex("sse_event", {"event.kind": "response.completed", "duration_ms": "1"})
    found = decoded(*noise, raw_completed, codex("sse_event", COMPLETED))
    assert (len(found.operations), found.unused, found.rejected) == (1, 4, 0)


def test_a_stream_that_breaks_is_a_failed_call() -> None:
    broken = read(codex("sse_event", {"event.kind": "response.completed", "error.message": "stream closed early"}))
    failed = read(codex("sse_event", {"event.kind": "response.failed", "error.message": "rate_limit_exceeded"}))
    assert (broken.kind, broken.status, broken.input_tokens) == ("llm", "error", None)
    assert (failed.kind, failed.status, failed.error_type) == ("llm", "error", "rate_limit_exceeded")


def test_a_request_of_codex_is_an_endpoint_when_it_went_through_and_a_failed_call_when_not() -> None:
    fine = read(codex("api_request", {"duration_ms": "900", "http.response.status_code": 200, "attempt": 0}))
    assert (fine.kind, fine.name, fine.status, fine.duration_ms) == ("api", "POST responses", "ok", 900)
    refused = read(
        codex("api_request", {"duration_ms": "80", "http.response.status_code": 429, "error.message": "slow down"})
    )
    assert (refused.kind, refused.status, refused.http_status) == ("llm", "error", 429)


def test_a_tool_of_codex_keeps_neither_arguments_nor_output() -> None:
    tool = read(
        codex(
            "tool_result",
            {
                "tool_name": "shell",
                "call_id": "call_1",
                "arguments": '{"command": ["cat", "/etc/passwd"]}',
                "duration_ms": "31",
                "success": "true",
                "output": "root:x:0:0",
            },
        )
    )
    assert (tool.kind, tool.name, tool.status, tool.duration_ms) == ("tool", "shell", "ok", 31)
    assert "passwd" not in str(tool)
    assert "root" not in str(tool)


# --- Gemini CLI -------------------------------------------------------------------------------------------------


def test_a_response_of_gemini_counts_thoughts_and_tools_beside() -> None:
    call = read(gemini("api_response", RESPONSE), resource={"service.name": "gemini-cli"}, scope="gemini-cli")
    assert (call.kind, call.name, call.provider, call.model) == ("llm", "generate_content", "google", "gemini-2.5-pro")
    assert (call.input_tokens, call.cache_read_tokens) == (10_050, 8000)
    assert (call.output_tokens, call.reasoning_tokens) == (1100, 900)
    assert (call.duration_ms, call.http_status, call.session_id) == (3000, 200, "gemini-session")


def test_an_error_of_gemini_is_a_failed_call() -> None:
    error = read(
        gemini(
            "api_error",
            {
                "model": "gemini-2.5-pro",
                "error": "quota exceeded",
                "error_type": "RESOURCE_EXHAUSTED",
                "status_code": 429,
                "duration_ms": 120,
            },
        )
    )
    assert (error.status, error.error_type, error.http_status) == ("error", "RESOURCE_EXHAUSTED", 429)


def test_tools_of_gemini_fail_or_are_refused() -> None:
    tool = {"function_name": "run_shell_command", "function_args": '{"command": "rm x"}', "duration_ms": 12}
    fine = read(gemini("tool_call", {**tool, "success": True, "decision": "auto_accept", "tool_type": "native"}))
    failed = read(gemini("tool_call", {**tool, "success": False, "error_type": "invalid_tool_params"}))
    refused = read(gemini("tool_call", {**tool, "success": False, "decision": "reject"}))
    assert (fine.name, fine.status) == ("run_shell_command", "ok")
    assert (failed.status, failed.error_type) == ("error", "invalid_tool_params")
    assert (refused.status, refused.outcome) == ("cancelled", "rejected")
    assert "rm x" not in str((fine, failed, refused))


def test_the_second_description_of_a_call_of_gemini_is_not_used() -> None:
    details = {
        "gen_ai.request.model": "gemini-2.5-pro",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 5,
    }
    record = make_record(None, {**details, "event.name": "gen_ai.client.inference.operation.details"})
    assert decoded(record, resource={"service.name": "gemini-cli"}).operations == []
    (call,) = decoded(record, resource={"service.name": "my-agent"}).operations
    assert (call.kind, call.model, call.input_tokens) == ("llm", "gemini-2.5-pro", 5)


def test_an_operation_event_inside_a_span_is_left_to_the_span() -> None:
    details = {"event.name": "gen_ai.client.inference.operation.details", "gen_ai.usage.input_tokens": 5}
    found = decoded(make_record(None, details, trace_id=b"\x01" * 16, span_id=b"\x02" * 8))
    assert (found.operations, found.unused) == ([], 1)


def test_routing_and_agents_are_tasks_with_their_time() -> None:
    routing = {"decision_model": "gemini-2.5-flash", "routing_latency_ms": 80, "failed": False}
    routed = read(gemini("model_routing", {**routing, "reasoning": "user asks about taxes"}))
    assert (routed.kind, routed.duration_ms, routed.status) == ("task", 80, "ok")
    assert "taxes" not in str(routed)
    assert attributes_of(routed)["decision_model"] == "gemini-2.5-flash"
    finished = {"agent_id": "a", "agent_name": "investigator", "duration_ms": 9000}
    assert read(gemini("agent.finish", finished)).name == "investigator"


# --- any sender -------------------------------------------------------------------------------------------------


def test_other_log_records_are_counted_and_not_used() -> None:
    found = decoded(
        make_record("GET /health 200", {"http.route": "/health"}),
        claude("plugin_loaded", {"plugin.name": "x"}),
        make_record(None, {}),
        scope="uvicorn.access",
    )
    assert (found.operations, found.rejected, found.unused) == ([], 0, 3)


def test_sending_again_gives_the_same_ids_in_either_encoding() -> None:
    records = [claude("api_request", API_REQUEST), codex("sse_event", COMPLETED), gemini("api_response", RESPONSE)]
    ids = [operation.operation_id for operation in decoded(*records).operations]
    assert ids == [operation.operation_id for operation in decoded(*records).operations]
    assert len(set(ids)) == 3


def test_two_equal_calls_at_different_times_are_two() -> None:
    first, second = codex("sse_event", COMPLETED, at_ns=AT_NS), codex("sse_event", COMPLETED, at_ns=AT_NS + 1)
    assert len({operation.operation_id for operation in decoded(first, second).operations}) == 2


def test_two_processes_of_one_session_with_the_same_sequence_are_two() -> None:
    request = {key: value for key, value in API_REQUEST.items() if key != "request_id"}
    first, second = claude("api_request", request), claude("api_request", request, at_ns=AT_NS + 5_000_000)
    assert len({operation.operation_id for operation in decoded(first, second).operations}) == 2


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (claude("api_request", {**API_REQUEST, "event.timestamp": "soon"}, at_ns=0), "has no time"),
        (claude("api_request", API_REQUEST, at_ns=1_790_000_000), "is not between the years 2000 and 2100"),
        (claude("api_request", API_REQUEST, at_ns=2**63), "is not between the years 2000 and 2100"),
    ],
    ids=["none", "seconds", "far future"],
)
def test_an_event_out_of_time_is_rejected_with_the_reason(record: Any, reason: str) -> None:
    found = decoded(record, claude("api_request", API_REQUEST))
    assert (found.rejected, len(found.operations)) == (1, 1)
    assert reason in found.reasons[0]


@pytest.mark.parametrize("duration", [-5, "soon", 1e300, float("nan"), 4e18, "-0.5"])
def test_what_cannot_be_a_duration_is_not_known(duration: Any) -> None:
    call = read(claude("api_request", {**API_REQUEST, "duration_ms": duration, "ttft_ms": -1}))
    assert (call.duration_ms, call.ttft_ms, call.started_at) == (None, None, AT_NS // 1000)


def test_the_time_of_observation_is_the_last_resort() -> None:
    untimed = {key: value for key, value in API_REQUEST.items() if key != "duration_ms"}
    record = make_record("claude_code.api_request", untimed, at_ns=0, observed_ns=AT_NS)
    assert read(record).started_at == AT_NS // 1000


@pytest.mark.parametrize("body", [b"[]", b"nonsense", b'{"resourceLogs": {}}', b'{"resourceLogs": [1]}', b"\xff"])
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableRequest, match="the body is not"):
        decode_json_logs(body)


def test_bytes_that_are_no_request_are_refused() -> None:
    with pytest.raises(UnreadableRequest, match="not an ExportLogsServiceRequest"):
        decode_logs(b"\x01\x02\x03 nonsense")


def test_a_broken_json_record_is_rejected_and_the_others_are_taken() -> None:
    document = logs_json(logs_request(claude("api_request", API_REQUEST)))
    records = document["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    records.insert(0, {"timeUnixNano": "noon", "body": {"stringValue": "claude_code.api_request"}})
    records.append({**records[1], "traceId": "zz", "spanId": 7, "unknownField": {"a": [1]}})
    found = decode_json_logs(json.dumps(document).encode())
    assert (found.rejected, len(found.operations)) == (1, 2)


def test_every_rule_makes_a_kind_there_is() -> None:
    rules = [rule for rules in EVENTS.values() for rule in rules]
    assert {rule.kind for rule in rules} <= set(KINDS)
    assert {rule.kind_when_failed for rule in rules if rule.kind_when_failed} <= set(KINDS)


_values = st.one_of(
    st.text(max_size=40),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.lists(st.text(max_size=5), max_size=3),
    st.none(),
)
_keys = st.sampled_from(sorted({*API_REQUEST, *COMPLETED, *RESPONSE, "error", "status", "success", "decision"}))


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(EVENTS)),
    attributes=st.dictionaries(_keys, _values, max_size=12),
    at_ns=st.integers(0, 2**64 - 1),
)
def test_nothing_an_event_says_breaks_the_door(name: str, attributes: dict[str, Any], at_ns: int) -> None:
    record = make_record(name, attributes, at_ns=at_ns)
    found = decode_logs(logs_request(record).SerializeToString())
    assert len(found.operations) + found.rejected + found.unused == 1
    for operation in found.operations:
        assert operation.duration_ms is None or operation.duration_ms >= 0
        assert operation.input_tokens is None or operation.input_tokens >= (operation.cache_read_tokens or 0)
        assert len(operation.name) <= 256


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(body: bytes) -> None:
    for decode in (decode_logs, decode_json_logs):
        try:
            decode(body)
        except UnreadableRequest:
            continue
