"""The real LiteLLM, with the SDKs and HTTP clients it uses, against a server that speaks their wire formats."""

from __future__ import annotations

import gc
import inspect
import os
import warnings
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest

from ralex_core.monitoring import instrument, operation
from tests.support.model_server import (
    CHAT_STREAM,
    EMBEDDINGS,
    FINISH,
    OPENING,
    OPENROUTER_USAGE,
    WORDS,
    Gate,
    ModelServer,
    Streamed,
    Whole,
    anthropic_error,
    chat,
    chunk,
    message,
    message_stream,
    model_server,
    openai_error,
    text_completion,
    tokens,
)
from tests.support.recorded import Recorded, attributes

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its price list comes from the network otherwise
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # LiteLLM's own deprecations are its own
    import litellm

pytestmark = pytest.mark.filterwarnings("ignore")  # and so are its warnings, and the clients it keeps and never closes

CHAT_TOKENS = (1000, 800, None, None, 300, 200)
MESSAGE_TOKENS = (1000, 600, 300, 100, 50, 20)
NO_TOKENS = (None,) * 6
MESSAGES = [{"role": "user", "content": "a secret prompt"}]


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with model_server(Whole(chat())) as server:
        yield server


@pytest.fixture(autouse=True)
async def on(recorded: Recorded) -> AsyncIterator[None]:
    litellm.suppress_debug_info = True
    litellm.disable_aiohttp_transport = True
    instrument.litellm(providers={"127.0.0.1": "openai"})
    yield
    await close_its_clients()


async def close_its_clients() -> None:
    """Those that LiteLLM keeps open for the next call."""
    kept = [*litellm.in_memory_llm_clients_cache.cache_dict.values(), litellm.module_level_client]
    litellm.in_memory_llm_clients_cache.flush_cache()
    for client in kept:
        closed = client.close()
        if inspect.isawaitable(closed):
            await closed


def openai_call(server: ModelServer, **changes: Any) -> dict[str, Any]:
    call = {"model": "openai/gpt-4o", "messages": MESSAGES, "api_base": server.url + "/v1", "api_key": "k"}
    return {**call, **changes}


def anthropic_call(server: ModelServer, **changes: Any) -> dict[str, Any]:
    call = {"model": "anthropic/claude-sonnet-4-6", "messages": MESSAGES, "api_base": server.url, "api_key": "k"}
    return {**call, **changes}


# Answers in one piece


def test_a_completion_is_one_operation_with_all_that_is_known(server: ModelServer, recorded: Recorded) -> None:
    server.say(Whole(chat()))
    assert litellm.completion(**openai_call(server)).choices[0].message.content == "a secret answer"
    op = recorded.one()
    assert (op.kind, op.name, op.status, op.provider) == ("llm", "chat", "ok", "openai")
    assert (op.requested_model, op.model) == ("openai/gpt-4o", "gpt-4o-2024-08-06")
    assert (op.provider_request_id, op.service_tier, tokens(op)) == ("chatcmpl-1", "default", CHAT_TOKENS)
    # What LiteLLM reckons of its own price list: 200 plain, 800 cached and 300 output tokens
    assert op.reported_usd == pytest.approx(Decimal("0.0045"))
    assert op.billed_usd is None
    assert attributes(op)["gen_ai.response.finish_reasons"] == ["stop"]
    assert (attributes(op)["instrument"], attributes(op)["server.address"]) == ("litellm", "127.0.0.1")
    assert "secret" not in repr(op)


def test_the_sdk_inside_is_part_of_the_call_and_its_attempts_are_counted(
    server: ModelServer, recorded: Recorded
) -> None:
    instrument.openai()
    server.say(openai_error(500), Whole(chat()))
    litellm.completion(**openai_call(server))
    assert len(server.requests) == 2
    op = recorded.one()
    assert (op.status, op.attempt, op.http_status, tokens(op)) == ("ok", 2, 200, CHAT_TOKENS)
    assert attributes(op)["instrument"] == "litellm"
    assert attributes(op)["request_id"] == "req_1"


async def test_the_async_functions_are_recorded_alike(server: ModelServer, recorded: Recorded) -> None:
    instrument.openai()
    server.say(Whole(chat()))
    await litellm.acompletion(**openai_call(server))
    server.say(Whole(EMBEDDINGS))
    where = {"api_base": server.url + "/v1", "api_key": "k"}
    await litellm.aembedding(model="openai/text-embedding-3-small", input=["a secret"], **where)
    litellm.embedding(model="openai/text-embedding-3-small", input=["a secret"], **where)
    chatted, *embedded = recorded.all()
    assert (chatted.name, tokens(chatted)) == ("chat", CHAT_TOKENS)
    assert [(op.name, tokens(op), op.reported_usd) for op in embedded] == [
        ("embeddings", (8, None, None, None, None, None), Decimal("1.6E-7"))
    ] * 2


def test_text_completions_are_recorded_by_their_own_name(server: ModelServer, recorded: Recorded) -> None:
    server.say(Whole(text_completion()))
    where = {"api_base": server.url + "/v1", "api_key": "k"}
    litellm.text_completion(model="text-completion-openai/gpt-3.5-turbo-instruct", prompt="a secret", **where)
    op = recorded.one()
    assert (op.name, tokens(op)) == ("text_completion", (7, None, None, None, 5, None))


def test_anthropics_counts_keep_their_parts_and_a_made_up_id_is_left_out(
    server: ModelServer, recorded: Recorded
) -> None:
    instrument.litellm()
    server.say(Whole(message()))
    litellm.completion(**anthropic_call(server))
    op = recorded.one()
    assert (op.name, op.provider, op.model, tokens(op)) == ("chat", "anthropic", "claude-sonnet-4-6", MESSAGE_TOKENS)
    assert op.provider_request_id is None
    assert attributes(op)["web_searches"] == 2


def test_a_server_that_speaks_like_openai_is_not_openai(server: ModelServer, recorded: Recorded) -> None:
    instrument.litellm()
    server.say(Whole(chat()), openai_error(400))
    litellm.completion(**openai_call(server))
    with pytest.raises(litellm.BadRequestError):
        litellm.completion(**openai_call(server))
    assert [op.provider for op in recorded.all()] == [None, None]


def test_openrouter_says_what_it_charged(server: ModelServer, recorded: Recorded) -> None:
    instrument.litellm(providers={"127.0.0.1": "openrouter"})
    server.say(Whole(chat(OPENROUTER_USAGE, id="gen-1")))
    litellm.completion(**openai_call(server, model="openrouter/openai/gpt-4o"))
    op = recorded.one()
    assert (op.provider, op.provider_request_id, op.billed_usd) == ("openrouter", "gen-1", Decimal("0.0123"))
    assert tokens(op) == (1000, 800, 100, None, 300, 200)


def test_an_answer_without_usage_has_unknown_tokens_and_no_cost(server: ModelServer, recorded: Recorded) -> None:
    server.say(Whole(chat(None)))
    litellm.completion(**openai_call(server))
    assert (tokens(recorded.one()), recorded.one().reported_usd) == (NO_TOKENS, None)


def test_an_answer_from_its_cache_used_nothing(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    def completion(**_: Any) -> Any:  # its caches need packages of its proxy
        answer = litellm.ModelResponse(**chat())
        answer._hidden_params = {"cache_hit": True, "custom_llm_provider": "openai", "response_cost": 0.0}
        return answer

    instrument.off()
    monkeypatch.setattr(litellm, "completion", completion)
    with instrument.litellm():
        litellm.completion(model="openai/gpt-4o", messages=MESSAGES)
    op = recorded.one()
    assert (tokens(op), op.reported_usd) == ((0, None, None, None, 0, None), 0)
    assert attributes(op)["cache_hit"] is True


def test_a_made_up_answer_is_no_call(recorded: Recorded) -> None:
    litellm.completion(model="openai/gpt-4o", messages=MESSAGES, mock_response="a secret answer")
    assert recorded.all() == []


@pytest.mark.parametrize(
    ("error", "status", "attempts"),
    [
        (openai_error(400, code="context_length_exceeded"), 400, 1),
        (openai_error(429, code="insufficient_quota"), 429, 3),
    ],
)
async def test_an_error_is_recorded_with_its_code_and_raised_as_it_is(
    server: ModelServer, recorded: Recorded, error: Whole, status: int, attempts: int
) -> None:
    server.say(error)
    with pytest.raises(openai.OpenAIError) as raised:
        await litellm.acompletion(**openai_call(server))
    op = recorded.one()
    assert (op.status, op.http_status, op.attempt) == ("error", status, attempts)
    assert op.error_type == f"litellm.exceptions.{type(raised.value).__name__}"
    assert attributes(op)["error.code"] == error.body["error"]["code"]
    assert (op.provider, tokens(op)) == ("openai", NO_TOKENS)
    assert "secret" not in repr(op)


def test_an_error_of_anthropics_is_one_too(server: ModelServer, recorded: Recorded) -> None:
    instrument.litellm()
    server.say(anthropic_error(529, "overloaded_error"))
    with pytest.raises(openai.OpenAIError):
        litellm.completion(**anthropic_call(server), num_retries=0)
    assert (recorded.one().status, recorded.one().provider) == ("error", "anthropic")


# Streams


def test_a_stream_keeps_its_type_and_has_the_providers_count(server: ModelServer, recorded: Recorded) -> None:
    instrument.openai()
    server.say(Streamed(CHAT_STREAM))
    with operation("turn"):
        stream = litellm.completion(**openai_call(server, stream=True))
        assert type(stream) is litellm.CustomStreamWrapper
        text = "".join(event.choices[0].delta.content or "" for event in stream)
    assert text == "a secret answer"
    op = recorded.named("chat")
    assert (op.status, tokens(op), op.model) == ("ok", CHAT_TOKENS, "gpt-4o-2024-08-06")
    assert op.ttft_ms is not None
    assert op.parent_span_id == recorded.named("turn").span_id
    assert len(recorded.all("llm")) == 1
    assert attributes(op)["gen_ai.request.stream"] is True


async def test_an_async_stream_of_anthropics_is_recorded_alike(server: ModelServer, recorded: Recorded) -> None:
    server.say(Streamed(message_stream()))
    stream = await litellm.acompletion(**anthropic_call(server, stream=True))
    assert "".join([event.choices[0].delta.content or "" async for event in stream]) == "a secret answer"
    assert (recorded.one().status, tokens(recorded.one())) == ("ok", MESSAGE_TOKENS)


def test_what_litellm_counts_by_itself_is_not_what_the_provider_said(server: ModelServer, recorded: Recorded) -> None:
    server.say(Streamed([OPENING, *WORDS, FINISH]))
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    events = list(litellm.completion(**openai_call(server, **asked)))
    assert any(getattr(event, "usage", None) for event in events)  # its estimate
    assert (recorded.one().status, tokens(recorded.one())) == ("ok", NO_TOKENS)


def test_a_stream_that_is_cut_is_an_error_although_litellm_finishes_it(server: ModelServer, recorded: Recorded) -> None:
    server.say(Streamed([OPENING, *WORDS]))
    events = list(litellm.completion(**openai_call(server, stream=True)))
    assert events[-1].choices[0].finish_reason == "stop"
    op = recorded.one()
    assert (op.status, op.error_type, tokens(op)) == ("error", "stream_cut", NO_TOKENS)


async def test_a_stream_that_is_closed_or_dropped_is_cancelled(server: ModelServer, recorded: Recorded) -> None:
    gate = Gate()
    server.say(Streamed([OPENING, *WORDS, gate, FINISH, chunk(choices=[])]))
    stream = await litellm.acompletion(**openai_call(server, stream=True))
    await anext(stream)
    await stream.aclose()
    assert (recorded.one().status, recorded.one().error_type) == ("cancelled", "stream_closed")
    recorded.clear()
    dropped = await litellm.acompletion(**openai_call(server, stream=True))
    await anext(dropped)
    gate.open()
    del dropped
    gc.collect()
    assert (recorded.one().status, tokens(recorded.one())) == ("cancelled", NO_TOKENS)


def test_off_puts_everything_back_and_on_twice_is_on_once(server: ModelServer, recorded: Recorded) -> None:
    instrument.off()
    before = dict(vars(litellm)), dict(vars(litellm.CustomStreamWrapper))
    switch = instrument.litellm()
    assert instrument.litellm() is switch
    server.say(Streamed(CHAT_STREAM))
    list(litellm.completion(**openai_call(server, stream=True)))
    assert len(recorded.all()) == 1
    switch.off()
    names = [name for name in before[0] if "completion" in name or "embedding" in name or "responses" in name]
    assert [vars(litellm)[name] is before[0][name] for name in names] == [True] * len(names)
    assert dict(vars(litellm.CustomStreamWrapper)) == before[1]
    list(litellm.completion(**openai_call(server, stream=True)))
    assert len(recorded.all()) == 1
