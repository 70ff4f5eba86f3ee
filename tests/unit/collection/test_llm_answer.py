"""What an answer says, read from the whole of it and from its events, as parsed JSON (as a gateway has them)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.collection.llm_answer import Answer, ChatAnswer, MessagesAnswer, ResponsesAnswer
from ralex_core.model.operation import Operation
from tests.support.model_server import (
    CHAT_STREAM,
    CHAT_USAGE,
    DONE,
    FINISH,
    OPENING,
    OPENROUTER_USAGE,
    TOOL_CALL,
    WORDS,
    chat,
    chunk,
    message,
    message_stream,
    response,
    response_stream,
    text_completion,
)

CHAT_FIELDS = {
    "model": "gpt-4o-2024-08-06",
    "provider_request_id": "chatcmpl-1",
    "service_tier": "default",
    "input_tokens": 1000,
    "cache_read_tokens": 800,
    "output_tokens": 300,
    "reasoning_tokens": 200,
}
MESSAGE_FIELDS = {
    "model": "claude-sonnet-4-6",
    "provider_request_id": "msg_01",
    "service_tier": "standard",
    "input_tokens": 1000,
    "cache_read_tokens": 600,
    "cache_write_tokens": 300,
    "cache_write_1h_tokens": 100,
    "output_tokens": 50,
    "reasoning_tokens": 20,
}
RESPONSE_FIELDS = {
    **CHAT_FIELDS,
    "model": "gpt-5-2025-08-07",
    "provider_request_id": "resp_1",
    "service_tier": "flex",
    "cache_write_tokens": 0,
}


def whole(answer: Answer, body: Any) -> Answer:
    answer.whole(body)
    return answer


def streamed(answer: Answer, events: list[Any]) -> Answer:
    for event in events:
        if event != DONE:
            answer.add(event)
    return answer


@pytest.mark.parametrize(
    ("one", "other", "fields"),
    [
        (whole(ChatAnswer(), chat()), streamed(ChatAnswer(), CHAT_STREAM), CHAT_FIELDS),
        (whole(ResponsesAnswer(), response()), streamed(ResponsesAnswer(), response_stream()), RESPONSE_FIELDS),
        (whole(MessagesAnswer(), message()), streamed(MessagesAnswer(), message_stream()), MESSAGE_FIELDS),
    ],
)
def test_a_stream_says_the_same_as_the_whole_answer(one: Answer, other: Answer, fields: dict[str, Any]) -> None:
    assert one.fields(None) == other.fields(None) == fields
    assert one.attributes() == other.attributes()
    assert (one.is_complete, other.is_complete) == (True, True)
    assert set(fields) <= set(Operation._fields)


@pytest.mark.parametrize(
    ("answer", "events", "first"),
    [
        (ChatAnswer(), CHAT_STREAM, WORDS[0]),
        (ChatAnswer(), [OPENING, chunk({"reasoning_content": "hm"}), *WORDS], chunk({"reasoning_content": "hm"})),
        (ChatAnswer(), [OPENING, chunk({"tool_calls": [TOOL_CALL]})], chunk({"tool_calls": [TOOL_CALL]})),
        (ChatAnswer(), [text_completion()], text_completion()),
        (ResponsesAnswer(), response_stream(), response_stream()[4]),
        (MessagesAnswer(), message_stream(), message_stream()[3]),
    ],
)
def test_the_first_token_is_the_first_event_with_a_part_of_the_answer(
    answer: Answer, events: list[Any], first: Any
) -> None:
    assert next(event for event in events if event != DONE and answer.add(event)) == first


def test_usage_may_come_on_the_chunk_that_finishes_or_on_all_of_them() -> None:
    on_finish = streamed(ChatAnswer(), [OPENING, *WORDS, chunk(finish="stop", usage=CHAT_USAGE)])
    growing = [chunk({"content": "a"}, usage={"prompt_tokens": 1000, "completion_tokens": n}) for n in (1, 2)]
    on_all = streamed(ChatAnswer(), [*growing, chunk(finish="stop", usage=CHAT_USAGE)])
    assert on_finish.fields(None) == on_all.fields(None) == CHAT_FIELDS


def test_a_stream_that_did_not_end_has_no_output_and_no_cost_but_what_it_began_with() -> None:
    begun = streamed(MessagesAnswer(), message_stream()[:5])
    assert not begun.is_complete
    assert begun.fields("anthropic") == {
        name: value for name, value in MESSAGE_FIELDS.items() if name not in ("output_tokens", "reasoning_tokens")
    }
    growing = chunk({"content": "a"}, usage={"prompt_tokens": 5, "completion_tokens": 1, "cost": 0.1})
    cut = streamed(ChatAnswer(), [growing])
    assert {"output_tokens", "billed_usd"} & set(cut.fields("openrouter")) == set()
    assert cut.fields("openrouter")["input_tokens"] == 5


def test_an_answer_without_usage_knows_no_tokens() -> None:
    found = streamed(ChatAnswer(), [OPENING, *WORDS, FINISH])
    assert found.is_complete
    assert found.fields("openai") == {
        name: CHAT_FIELDS[name] for name in ("model", "provider_request_id", "service_tier")
    }


def test_what_the_provider_charges_is_billed_and_what_a_proxy_says_is_reported() -> None:
    answer = whole(ChatAnswer(), chat(OPENROUTER_USAGE, provider="Anthropic"))
    assert answer.fields("openrouter")["billed_usd"] == Decimal("0.0123")
    assert "reported_usd" not in answer.fields("openrouter")
    assert answer.fields(None)["reported_usd"] == Decimal("0.0123")
    assert answer.attributes()["upstream_provider"] == "Anthropic"


def test_errors_inside_a_successful_answer_are_failures() -> None:
    by_router = whole(ChatAnswer(), {"error": {"code": 502, "message": "secret"}, "user_id": "u"})
    in_a_choice = streamed(ChatAnswer(), [chunk(finish="error")])
    failed = response(status="failed", error={"code": "server_error", "message": "secret"})
    of_a_response = whole(ResponsesAnswer(), failed)
    in_a_stream = streamed(ResponsesAnswer(), response_stream("response.failed", **failed))
    event = streamed(MessagesAnswer(), [{"type": "error", "error": {"type": "overloaded_error", "message": "secret"}}])
    found = [answer.failure for answer in (by_router, in_a_choice, of_a_response, in_a_stream, event)]
    assert found == ["502", "error", "server_error", "server_error", "overloaded_error"]


def test_an_incomplete_response_says_why() -> None:
    cut_short = response(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert whole(ResponsesAnswer(), cut_short).finish_reasons == ["max_output_tokens"]


def test_nothing_of_what_was_written_is_kept() -> None:
    for answer in (
        streamed(ChatAnswer(), CHAT_STREAM),
        streamed(ResponsesAnswer(), response_stream()),
        streamed(MessagesAnswer(), message_stream()),
    ):
        assert "secret" not in repr(answer.fields(None)) + repr(answer.attributes())


NAMES = (
    *("id", "type", "model", "usage", "choices", "delta", "error", "message", "response", "finish_reason", "text"),
    *("prompt_tokens", "completion_tokens", "output_tokens", "status", "cost", "service_tier", "server_tool_use"),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)),
    max_leaves=12,
)
EVENT = st.one_of(JSON, st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON)))


@given(
    st.sampled_from([ChatAnswer, ResponsesAnswer, MessagesAnswer]),
    st.lists(EVENT, max_size=4),
    st.sampled_from(["response.completed", "message_start", "message_delta", "error", "response.created", None]),
)
def test_no_json_whatever_makes_reading_fail(kind: type[Answer], events: list[Any], named: str | None) -> None:
    answer = kind()
    for event in events:
        answer.add({**event, "type": named} if isinstance(event, dict) else event)
    answer.whole(events[0] if events else None)
    answer.fields("openrouter")
    answer.attributes()


def test_the_fast_mode_of_anthropic_is_a_tier_of_its_own() -> None:
    """Its answers say `standard` of the tier, and `fast` of the speed, which costs more."""
    usage = {"input_tokens": 10, "output_tokens": 5, "service_tier": "standard"}
    for speed, tier in (("fast", "fast"), ("standard", "standard")):
        answer = MessagesAnswer()
        answer.whole({"id": "msg_1", "model": "m", "usage": {**usage, "speed": speed}, "stop_reason": "end_turn"})
        assert answer.fields("anthropic")["service_tier"] == tier
