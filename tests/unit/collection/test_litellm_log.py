"""LiteLLM's own log of a call: success and failure, whole and streamed, and the zeros that mean "not known"."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from ralex_core.collection.litellm_log import parse_litellm
from ralex_core.model.operation import Operation
from tests.support.model_server import tokens

BEGAN = 1_767_268_800.25
PAYLOAD: dict[str, Any] = {
    "id": "chatcmpl-abc",
    "trace_id": "trace-1",
    "litellm_call_id": "9f6a5c0e-0000-4000-8000-000000000001",
    "session_id": "s-1",
    "call_type": "acompletion",
    "stream": True,
    "response_cost": 0.0038,
    "response_cost_failure_debug_info": None,
    "status": "success",
    "custom_llm_provider": "openai",
    "total_tokens": 1300,
    "prompt_tokens": 1000,
    "completion_tokens": 300,
    "startTime": BEGAN,
    "endTime": BEGAN + 2,
    "completionStartTime": BEGAN + 0.5,
    "response_time": 2.0,
    "model": "gpt-4o",
    "model_id": "m1",
    "model_group": "smart",
    "api_base": "https://api.openai.com/v1/",
    "metadata": {
        "user_api_key_hash": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
        "user_api_key_alias": "ci",
        "user_api_key_team_alias": "shop",
        "user_api_key_user_id": "ann",
        "requester_metadata": {},
        "usage_object": {
            "prompt_tokens": 1000,
            "completion_tokens": 300,
            "total_tokens": 1300,
            "prompt_tokens_details": {"cached_tokens": 800},
            "completion_tokens_details": {"reasoning_tokens": 200},
        },
    },
    "cache_hit": None,
    "request_tags": ["nightly"],
    "end_user": "",
    "messages": [{"role": "user", "content": "a secret prompt"}],
    "response": {"id": "chatcmpl-abc", "choices": [{"message": {"content": "a secret answer"}}]},
    "error_information": None,
    "model_parameters": {"stream": True},
    "hidden_params": {},
}
FAILURE: dict[str, Any] = {
    **PAYLOAD,
    "status": "failure",
    "response_cost": 0,
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "total_tokens": 0,
    "metadata": {},
    "response": {},
    "error_str": "a secret",
    "error_information": {"error_code": "429", "error_class": "RateLimitError", "error_message": "a secret"},
}


def one(**changes: Any) -> Operation:
    parsed = parse_litellm(json.dumps({**PAYLOAD, **changes}).encode())
    assert parsed.rejected == []
    (operation,) = parsed.operations
    return operation


def test_a_call_that_succeeded() -> None:
    operation = one()
    assert (operation.kind, operation.name, operation.status) == ("llm", "chat", "ok")
    assert (operation.provider, operation.requested_model, operation.model) == ("openai", "smart", "gpt-4o")
    assert tokens(operation) == (1000, 800, None, None, 300, 200)
    assert (operation.reported_usd, operation.billed_usd) == (Decimal("0.0038"), None)
    assert (operation.started_at, operation.duration_ms, operation.ttft_ms) == (1_767_268_800_250_000, 2000, 500)
    assert (operation.user_id, operation.project, operation.session_id) == ("ann", "shop", "s-1")
    assert operation.provider_request_id == "chatcmpl-abc"
    assert (operation.door, operation.source) == ("webhook", "litellm")
    attributes = json.loads(operation.attributes or "")
    assert (attributes["gateway_key"], attributes["tags"]) == ("88dc28d0", ["nightly"])
    assert "secret" not in repr(operation)


@pytest.mark.parametrize(
    "changes",
    [
        {"response_cost": 0},
        {"response_cost": None},
        {"response_cost": 0.5, "response_cost_failure_debug_info": {"error_str": "no price"}},
        {"response_cost": "nonsense"},
    ],
)
def test_a_cost_that_litellm_does_not_know_is_unknown_and_not_free(changes: dict[str, Any]) -> None:
    operation = one(**changes)
    assert (operation.reported_usd, operation.billed_usd) == (None, None)
    assert tokens(operation)[0] == 1000


def test_a_call_that_failed_has_no_usage_and_its_class_of_error() -> None:
    (operation,) = parse_litellm(json.dumps(FAILURE).encode()).operations
    assert (operation.status, operation.error_type, operation.http_status) == ("error", "RateLimitError", 429)
    assert tokens(operation) == (None,) * 6
    assert (operation.reported_usd, operation.model) == (None, None)
    assert "secret" not in repr(operation)
    unpaid = {**FAILURE, "error_information": {"error_code": "402", "error_class": "APIError"}}
    assert parse_litellm(json.dumps(unpaid).encode()).operations[0].error_type == "payment_required"


def test_zero_tokens_are_not_known_and_embeddings_have_no_output() -> None:
    nothing = {"metadata": {}, "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert tokens(one(**nothing)) == (None,) * 6
    embedded = one(call_type="aembedding", metadata={}, prompt_tokens=8, completion_tokens=0, total_tokens=8)
    assert (embedded.name, tokens(embedded)) == ("embeddings", (8, None, None, None, None, None))


def test_an_answer_from_litellms_cache_cost_nothing() -> None:
    operation = one(cache_hit=True)
    assert (operation.input_tokens, operation.output_tokens, operation.reported_usd) == (0, 0, Decimal(0))


def test_openrouters_own_cost_is_billed() -> None:
    usage = {"prompt_tokens": 40, "completion_tokens": 7, "total_tokens": 47, "cost": 0.000151, "is_byok": False}
    operation = one(
        custom_llm_provider="openrouter", api_base="https://openrouter.ai/api/v1", metadata={"usage_object": usage}
    )
    assert (operation.provider, operation.billed_usd) == ("openrouter", Decimal("0.000151"))
    assert operation.reported_usd is None


def test_a_server_of_ones_own_is_not_openai_and_an_id_that_was_made_up_joins_nothing() -> None:
    made_up = "chatcmpl-9f6a5c0e-0000-4000-8000-000000000001"
    operation = one(api_base="http://10.0.0.1:8000/v1", id=made_up, response={"id": made_up})
    assert (operation.provider, operation.provider_request_id) == (None, None)


@pytest.mark.parametrize("form", ["json_array", "ndjson", "single"])
def test_every_form_of_its_log_and_the_same_id_whenever_it_is_sent(form: str) -> None:
    lines = [json.dumps(PAYLOAD), json.dumps(FAILURE)]
    body = {"json_array": f"[{','.join(lines)}]", "ndjson": "\n".join(lines) + "\n", "single": lines[0]}[form].encode()
    first, second = parse_litellm(body), parse_litellm(body)
    assert len(first.operations) == (1 if form == "single" else 2)
    assert [one.operation_id for one in first.operations] == [one.operation_id for one in second.operations]
    assert len({one.operation_id for one in first.operations}) == len(first.operations)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("17", "a payload is a JSON object"),
        ('{"id": "x"}', "startTime: required, in seconds since 1970"),
        ('{"id": "x", "startTime": 1e30}', "startTime: required, in seconds since 1970"),
        ('{"startTime": 1767268800}', "id: required, so that what is sent again counts once"),
    ],
)
def test_what_is_no_payload_is_named_and_does_not_stop_the_rest(payload: str, reason: str) -> None:
    parsed = parse_litellm(f"[{payload}, {json.dumps(PAYLOAD)}]".encode())
    assert parsed.rejected == [(0, reason)]
    assert len(parsed.operations) == 1
    assert parse_litellm(b"{").rejected[0][1].startswith("not valid JSON")


@pytest.mark.parametrize("value", [{}, [], "x" * 1000, -1, 1e300, True, None])
def test_hostile_values_never_raise(value: Any) -> None:
    for name in PAYLOAD:
        if name not in ("startTime", "id", "litellm_call_id"):
            assert len(parse_litellm(json.dumps({**PAYLOAD, name: value}).encode()).operations) == 1
