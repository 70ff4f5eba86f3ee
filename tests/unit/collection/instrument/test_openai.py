"""The real OpenAI SDK, sync and async, against a server that speaks its wire format."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import time
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest

from ralex_core.collection import active
from ralex_core.collection.guard import guard
from ralex_core.monitoring import current_operation, instrument, operation
from tests.support.model_server import (
    CHAT_STREAM,
    CHAT_USAGE,
    DONE,
    EMBEDDINGS,
    FINISH,
    OPENING,
    OPENROUTER_USAGE,
    TOOL_CALL,
    WORDS,
    Gate,
    ModelServer,
    Streamed,
    Whole,
    chat,
    chunk,
    model_server,
    openai_error,
    response,
    response_stream,
    text_completion,
    tokens,
)
from tests.support.recorded import Recorded, attributes

CHAT_TOKENS = (1000, 800, None, None, 300, 200)
RESPONSE_TOKENS = (1000, 800, 0, None, 300, 200)
NO_TOKENS = (None,) * 6
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a secret prompt"}]}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with model_server(Whole(chat())) as server:
        yield server


@pytest.fixture(autouse=True)
def on(recorded: Recorded) -> None:
    instrument.openai(providers={"127.0.0.1": "openai"})


@pytest.fixture
def client(server: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="k") as client:
        yield client


@pytest.fixture
async def async_client(server: ModelServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="k") as client:
        yield client


# Answers in one piece


def test_a_chat_is_one_operation_with_all_the_provider_says(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    server.say(Whole(chat()))
    answer = client.chat.completions.create(**ASK)
    assert answer.choices[0].message.content == "a secret answer"
    op = recorded.one()
    assert (op.kind, op.name, op.status, op.door) == ("llm", "chat", "ok", "sdk")
    assert (op.provider, op.requested_model, op.model) == ("openai", "gpt-4o", "gpt-4o-2024-08-06")
    assert (op.provider_request_id, op.service_tier, op.http_status, op.attempt) == ("chatcmpl-1", "default", 200, 1)
    assert tokens(op) == CHAT_TOKENS
    assert (op.reported_usd, op.billed_usd, op.ttft_ms) == (None, None, None)
    assert op.duration_ms is not None
    assert attributes(op) == {
        "instrument": "openai",
        "gen_ai.request.stream": False,
        "server.address": "127.0.0.1",
        "request_id": "req_1",
        "gen_ai.response.finish_reasons": ["stop"],
    }
    assert "secret" not in repr(op)


async def test_an_async_chat_is_recorded_alike(
    server: ModelServer, async_client: openai.AsyncOpenAI, recorded: Recorded
) -> None:
    server.say(Whole(chat()))
    await asyncio.gather(*(async_client.chat.completions.create(**ASK) for _ in range(5)))
    found = recorded.all()
    assert [(op.name, tokens(op)) for op in found] == [("chat", CHAT_TOKENS)] * 5
    assert len({op.operation_id for op in found}) == 5
    assert all(op.parent_span_id is None for op in found)


def test_the_other_calls_to_models_are_recorded_too(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    server.say(Whole(text_completion()), Whole(response()), Whole(EMBEDDINGS))
    client.completions.create(model="gpt-3.5-turbo-instruct", prompt="a secret prompt")
    client.responses.create(model="gpt-5", input="a secret prompt")
    client.embeddings.create(model="text-embedding-3-small", input="a secret prompt", encoding_format="float")
    completion, answer, embeddings = recorded.all()
    assert (completion.name, tokens(completion)) == ("text_completion", (7, None, None, None, 5, None))
    assert attributes(completion)["gen_ai.response.finish_reasons"] == ["length"]
    assert (answer.name, tokens(answer)) == ("responses", RESPONSE_TOKENS)
    assert (answer.model, answer.service_tier, answer.provider_request_id) == ("gpt-5-2025-08-07", "flex", "resp_1")
    assert (embeddings.name, tokens(embeddings)) == ("embeddings", (8, None, None, None, None, None))
    assert embeddings.model == "text-embedding-3-small"


def test_what_calls_no_model_is_not_recorded(server: ModelServer, client: openai.OpenAI, recorded: Recorded) -> None:
    server.say(Whole({"object": "list", "data": []}), Whole(response()))
    client.models.list()
    client.responses.retrieve("resp_1")
    assert recorded.all() == []


def test_an_answer_with_a_call_of_a_tool_is_an_answer(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}
    server.say(Whole(chat(choices=[{"index": 0, "message": called, "finish_reason": "tool_calls"}])))
    client.chat.completions.create(**ASK)
    op = recorded.one()
    assert attributes(op)["gen_ai.response.finish_reasons"] == ["tool_calls"]
    assert "read_file" not in repr(op)


def test_openrouter_says_what_it_charged(server: ModelServer, client: openai.OpenAI, recorded: Recorded) -> None:
    instrument.openai(providers={"127.0.0.1": "openrouter"})
    own_key = {**OPENROUTER_USAGE, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.02}}
    server.say(Whole(chat(OPENROUTER_USAGE, id="gen-1", provider="Anthropic")), Whole(chat(own_key)))
    client.chat.completions.create(**ASK)
    client.chat.completions.create(**ASK)
    charged, by_own_key = recorded.all()
    assert (charged.provider, charged.provider_request_id) == ("openrouter", "gen-1")
    assert (charged.billed_usd, charged.reported_usd) == (Decimal("0.0123"), None)
    assert tokens(charged) == (1000, 800, 100, None, 300, 200)
    assert attributes(charged)["upstream_provider"] == "Anthropic"
    assert by_own_key.billed_usd == Decimal("0.0323")
    assert attributes(by_own_key)["is_byok"] is True


def test_a_server_of_ones_own_has_no_known_provider_unless_one_says_it(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    instrument.openai()
    server.say(Whole(chat(OPENROUTER_USAGE)))
    client.chat.completions.create(**ASK)
    op = recorded.one()
    assert op.provider is None
    assert (op.billed_usd, op.reported_usd) == (None, Decimal("0.0123"))


def test_a_client_for_azure_is_azures_whatever_its_address(server: ModelServer, recorded: Recorded) -> None:
    instrument.openai()
    server.say(Whole(chat()))
    with openai.AzureOpenAI(azure_endpoint=server.url, api_key="k", api_version="2024-10-21") as client:
        client.chat.completions.create(**ASK)
    assert server.requests[0].path.startswith("/openai/deployments/gpt-4o/chat/completions")
    assert (recorded.one().provider, recorded.one().requested_model) == ("azure", "gpt-4o")


# Errors


@pytest.mark.parametrize(
    ("status", "kind", "code", "error", "attempts"),
    [
        (400, "invalid_request_error", "context_length_exceeded", openai.BadRequestError, 1),
        (401, "invalid_request_error", "invalid_api_key", openai.AuthenticationError, 1),
        (402, "insufficient_credits", None, openai.APIStatusError, 1),
        (429, "insufficient_quota", "insufficient_quota", openai.RateLimitError, 3),
        (500, "server_error", None, openai.InternalServerError, 3),
        (529, "overloaded", None, openai.InternalServerError, 3),
    ],
)
async def test_an_error_is_recorded_with_its_kind_and_attempts_and_raised_as_it_is(
    server: ModelServer,
    client: openai.OpenAI,
    async_client: openai.AsyncOpenAI,
    recorded: Recorded,
    status: int,
    kind: str,
    code: str | None,
    error: type[Exception],
    attempts: int,
) -> None:
    server.say(openai_error(status, kind, code))
    with pytest.raises(error) as raised:
        await asyncio.to_thread(client.chat.completions.create, **ASK)
    with pytest.raises(error):
        await async_client.chat.completions.create(**ASK)
    assert type(raised.value) is error
    assert len(server.requests) == 2 * attempts
    for op in recorded.all():
        assert (op.status, op.error_type, op.http_status) == ("error", f"openai.{error.__name__}", status)
        assert (op.attempt, tokens(op), op.model) == (attempts, NO_TOKENS, None)
        assert (attributes(op)["error.code"], attributes(op)["request_id"]) == (code or kind, "req_1")
        assert "secret" not in repr(op)
    assert len(recorded.all()) == 2


def test_attempts_that_failed_before_the_answer_are_counted(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    server.say(openai_error(429), openai_error(500), Whole(chat()))
    client.chat.completions.create(**ASK)
    assert (recorded.one().status, recorded.one().attempt, tokens(recorded.one())) == ("ok", 3, CHAT_TOKENS)


def test_no_connection_is_an_error_without_a_status(recorded: Recorded) -> None:
    nowhere = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="k", max_retries=0)
    with nowhere as client, pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**ASK)
    op = recorded.one()
    assert (op.status, op.error_type, op.http_status, op.attempt) == ("error", "openai.APIConnectionError", None, 1)


def test_an_error_inside_a_successful_answer_is_an_error(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    server.say(Whole({"error": {"code": 502, "message": "a secret"}}), Whole(response(status="failed", error=None)))
    client.chat.completions.create(**ASK)
    client.responses.create(model="gpt-5", input="a secret prompt")
    assert [(op.status, op.error_type, op.http_status) for op in recorded.all()] == [
        ("error", "502", 200),
        ("error", "error", 200),
    ]


async def test_a_call_that_is_cancelled_is_recorded_as_cancelled(
    server: ModelServer, async_client: openai.AsyncOpenAI, recorded: Recorded
) -> None:
    gate = Gate()
    server.say(Streamed([gate, *CHAT_STREAM]))
    stream = await async_client.chat.completions.create(**ASK, stream=True)
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.open()
    await stream.close()
    op = recorded.one()
    assert (op.status, op.http_status, tokens(op)) == ("cancelled", 200, NO_TOKENS)


# Streams


def test_a_stream_keeps_its_type_and_events_and_is_recorded_when_it_ends(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    server.say(Streamed(CHAT_STREAM))
    with operation("turn") as turn:
        stream = client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
        assert current_operation() is turn
        assert type(stream) is openai.Stream
        text = [event.choices[0].delta.content for event in stream if event.choices]
    assert text == ["", "a ", "secret ", "answer", None]
    chatted, _ = recorded.all()
    assert (chatted.name, chatted.status, chatted.http_status, tokens(chatted)) == ("chat", "ok", 200, CHAT_TOKENS)
    assert chatted.parent_span_id == recorded.named("turn").span_id
    assert chatted.ttft_ms is not None and chatted.duration_ms is not None
    assert 0 < chatted.ttft_ms <= chatted.duration_ms
    assert attributes(chatted)["gen_ai.request.stream"] is True
    assert attributes(chatted)["gen_ai.response.finish_reasons"] == ["stop"]
    assert "secret" not in repr(chatted)


async def test_an_async_stream_is_recorded_alike(
    server: ModelServer, async_client: openai.AsyncOpenAI, recorded: Recorded
) -> None:
    server.say(Streamed(CHAT_STREAM))
    stream = await async_client.chat.completions.create(**ASK, stream=True)
    assert type(stream) is openai.AsyncStream
    assert len([event async for event in stream]) == 6
    assert (recorded.one().status, tokens(recorded.one())) == ("ok", CHAT_TOKENS)


def test_events_may_be_taken_one_by_one(server: ModelServer, client: openai.OpenAI, recorded: Recorded) -> None:
    server.say(Streamed(CHAT_STREAM))
    stream = client.chat.completions.create(**ASK, stream=True)
    assert next(stream).choices[0].delta.role == "assistant"
    assert len(list(stream)) == 5
    assert list(stream) == []
    assert tokens(recorded.one()) == CHAT_TOKENS


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([OPENING, *WORDS, chunk(finish="stop", usage=CHAT_USAGE), DONE], CHAT_TOKENS),
        ([OPENING, *WORDS, FINISH, DONE], NO_TOKENS),
        (
            [OPENING, chunk({"tool_calls": [{"index": 0, **TOOL_CALL}]}), FINISH, chunk(choices=[], usage=CHAT_USAGE)],
            CHAT_TOKENS,
        ),
    ],
)
def test_usage_is_what_the_stream_said_wherever_it_did(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded, events: list[Any], expected: tuple[Any, ...]
) -> None:
    server.say(Streamed(events))
    list(client.chat.completions.create(**ASK, stream=True))
    op = recorded.one()
    assert (op.status, tokens(op), op.ttft_ms is not None) == ("ok", expected, True)


def test_the_first_token_is_content_and_neither_headers_nor_role(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    gate = Gate()
    server.say(Streamed([OPENING, gate, *WORDS, FINISH, DONE]))
    before = time.monotonic()
    stream = client.chat.completions.create(**ASK, stream=True)
    next(stream)
    asked_and_opened_ms = (time.monotonic() - before) * 1e3
    gate.open()
    list(stream)
    op = recorded.one()
    assert op.ttft_ms is not None and op.duration_ms is not None
    # The clocks of the two begin microseconds apart.
    assert op.ttft_ms > asked_and_opened_ms - 5
    assert op.ttft_ms <= op.duration_ms


@pytest.mark.parametrize("events", [[OPENING, *WORDS], [OPENING, *WORDS, DONE], []])
def test_a_stream_that_is_cut_is_an_error_with_unknown_usage(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded, events: list[Any]
) -> None:
    server.say(Streamed(events))
    list(client.chat.completions.create(**ASK, stream=True))
    op = recorded.one()
    assert (op.status, op.error_type, op.http_status, tokens(op)) == ("error", "stream_cut", 200, NO_TOKENS)


async def test_a_connection_that_breaks_is_an_error_of_its_kind(
    server: ModelServer, client: openai.OpenAI, async_client: openai.AsyncOpenAI, recorded: Recorded
) -> None:
    server.say(Streamed([OPENING, *WORDS], cut=True))
    with pytest.raises(Exception, match=r"incomplete|closed|Connection error"):
        await asyncio.to_thread(lambda: list(client.chat.completions.create(**ASK, stream=True)))
    stream = await async_client.chat.completions.create(**ASK, stream=True)
    with pytest.raises(Exception, match=r"incomplete|closed|Connection error"):
        async for _ in stream:
            pass
    for op in recorded.all():
        assert (op.status, op.http_status, tokens(op)) == ("error", 200, NO_TOKENS)
        assert "RemoteProtocolError" in str(op.error_type) or "APIConnectionError" in str(op.error_type)
        assert op.ttft_ms is not None
    assert len(recorded.all()) == 2


def test_an_error_in_the_middle_of_a_stream_is_one(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    server.say(Streamed([OPENING, {"error": {"code": "server_error", "message": "a secret"}}]))
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(**ASK, stream=True))
    op = recorded.one()
    assert (op.status, op.error_type, op.http_status) == ("error", "openai.APIError", 200)
    assert attributes(op)["error.code"] == "server_error"


async def test_a_stream_that_is_closed_early_is_cancelled_with_unknown_usage(
    server: ModelServer, client: openai.OpenAI, async_client: openai.AsyncOpenAI, recorded: Recorded
) -> None:
    gate = Gate()
    server.say(Streamed([OPENING, *WORDS, gate, FINISH, chunk(choices=[], usage=CHAT_USAGE), DONE]))

    def read_some() -> openai.Stream[Any]:
        with client.chat.completions.create(**ASK, stream=True) as stream:
            next(stream)
        return stream

    kept = await asyncio.to_thread(read_some)
    assert (recorded.one().status, recorded.one().error_type) == ("cancelled", "stream_closed")
    async with await async_client.chat.completions.create(**ASK, stream=True) as also_kept:
        await anext(also_kept)
    gate.open()
    assert [(op.status, tokens(op)) for op in recorded.all()] == [("cancelled", NO_TOKENS)] * 2
    del kept, also_kept
    gc.collect()
    assert len(recorded.all()) == 2


def test_a_stream_that_is_not_read_past_its_finish_is_fine(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    server.say(Streamed(CHAT_STREAM))
    with client.chat.completions.create(**ASK, stream=True) as stream:
        for event in stream:
            if event.choices[0].finish_reason:
                break
    assert (recorded.one().status, tokens(recorded.one())) == ("ok", NO_TOKENS)


def test_a_stream_nobody_reads_ends_when_it_is_dropped(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    server.say(Streamed(CHAT_STREAM))
    stream = client.chat.completions.create(**ASK, stream=True)
    assert recorded.all() == []
    stream.response.close()
    del stream
    gc.collect()
    assert (recorded.one().status, tokens(recorded.one())) == ("cancelled", NO_TOKENS)


def test_the_responses_api_streams(server: ModelServer, client: openai.OpenAI, recorded: Recorded) -> None:
    server.say(Streamed(response_stream()), Streamed(response_stream("response.incomplete", status="incomplete")))
    events = list(client.responses.create(model="gpt-5", input="a secret prompt", stream=True))
    assert events[-1].type == "response.completed"
    list(client.responses.create(model="gpt-5", input="a secret prompt", stream=True))
    done, incomplete = recorded.all()
    assert (done.name, done.status, tokens(done), done.service_tier) == ("responses", "ok", RESPONSE_TOKENS, "flex")
    assert done.ttft_ms is not None
    assert (incomplete.status, tokens(incomplete)) == ("ok", RESPONSE_TOKENS)


# The helpers of the SDK that end in the same calls


async def test_the_stream_helpers_are_recorded_once(
    server: ModelServer, client: openai.OpenAI, async_client: openai.AsyncOpenAI, recorded: Recorded
) -> None:
    server.say(Streamed(CHAT_STREAM))

    def chat_helper() -> str | None:
        with client.chat.completions.stream(**ASK) as stream:
            for _ in stream:
                pass
            return stream.get_final_completion().choices[0].message.content

    assert await asyncio.to_thread(chat_helper) == "a secret answer"
    async with async_client.chat.completions.stream(**ASK) as stream:
        await stream.until_done()
    server.say(Streamed(response_stream()))
    async with async_client.responses.stream(model="gpt-5", input="a secret prompt") as events:
        await events.until_done()
    assert [(op.name, op.status, tokens(op)) for op in recorded.all()] == [
        ("chat", "ok", CHAT_TOKENS),
        ("chat", "ok", CHAT_TOKENS),
        ("responses", "ok", RESPONSE_TOKENS),
    ]


def test_a_helper_that_is_left_early_is_cancelled(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    gate = Gate()
    server.say(Streamed([OPENING, *WORDS, gate, FINISH, DONE]))
    with client.chat.completions.stream(**ASK) as stream:
        next(iter(stream))
    gate.open()
    assert (recorded.one().status, recorded.one().error_type) == ("cancelled", "stream_closed")


async def test_raw_responses_are_recorded_by_what_is_made_of_them(
    server: ModelServer, client: openai.OpenAI, async_client: openai.AsyncOpenAI, recorded: Recorded
) -> None:
    server.say(Whole(chat()), Whole(chat()), Streamed(CHAT_STREAM))
    raw = await asyncio.to_thread(client.chat.completions.with_raw_response.create, **ASK)
    assert raw.headers["x-request-id"] == "req_1"
    assert raw.parse().id == "chatcmpl-1"
    raw = await async_client.chat.completions.with_raw_response.create(**ASK)
    assert raw.parse().id == "chatcmpl-1"
    raw = await asyncio.to_thread(lambda: client.chat.completions.with_raw_response.create(**ASK, stream=True))
    assert len(list(raw.parse())) == 6
    raw = await async_client.chat.completions.with_raw_response.create(**ASK, stream=True)
    assert len([event async for event in raw.parse()]) == 6
    assert [(op.status, tokens(op)) for op in recorded.all()] == [("ok", CHAT_TOKENS)] * 4


async def test_streamed_responses_are_recorded_by_what_is_made_of_them(
    server: ModelServer, client: openai.OpenAI, async_client: openai.AsyncOpenAI, recorded: Recorded
) -> None:
    server.say(Whole(chat()))

    def parsed() -> None:
        with client.chat.completions.with_streaming_response.create(**ASK) as raw:
            assert raw.parse().id == "chatcmpl-1"

    def read_by_oneself() -> None:
        with client.chat.completions.with_streaming_response.create(**ASK) as raw:
            assert b"secret" in raw.read()

    def line_by_line() -> None:
        with client.chat.completions.with_streaming_response.create(**ASK) as raw:
            assert "secret" in "".join(raw.iter_lines())

    def not_at_all() -> None:
        with client.chat.completions.with_streaming_response.create(**ASK) as raw:
            assert raw.status_code == 200

    await asyncio.to_thread(parsed)
    async with async_client.chat.completions.with_streaming_response.create(**ASK) as raw:
        assert (await raw.parse()).id == "chatcmpl-1"
    await asyncio.to_thread(read_by_oneself)
    await asyncio.to_thread(line_by_line)
    await asyncio.to_thread(not_at_all)
    assert [(op.status, tokens(op)) for op in recorded.all()] == [
        ("ok", CHAT_TOKENS),
        ("ok", CHAT_TOKENS),
        ("ok", CHAT_TOKENS),
        ("ok", NO_TOKENS),
        ("cancelled", NO_TOKENS),
    ]


# Usage that nobody asked for


def test_requests_are_sent_as_they_are(server: ModelServer, client: openai.OpenAI, recorded: Recorded) -> None:
    server.say(Streamed(CHAT_STREAM))
    list(client.chat.completions.create(**ASK, stream=True))
    assert server.requests[0].body == {**ASK, "stream": True}


async def test_usage_is_asked_for_on_request_and_its_chunk_kept_from_the_program(
    server: ModelServer, client: openai.OpenAI, async_client: openai.AsyncOpenAI, recorded: Recorded
) -> None:
    instrument.openai(ask_for_usage=True)
    asked = copy.deepcopy(ASK)
    server.say(Streamed(CHAT_STREAM))
    events = await asyncio.to_thread(lambda: list(client.chat.completions.create(**asked, stream=True)))
    assert server.requests[0].body["stream_options"] == {"include_usage": True}
    assert len(events) == 5 and all(event.choices for event in events)
    stream = await async_client.chat.completions.create(**asked, stream=True)
    assert len([event async for event in stream]) == 5
    assert asked == ASK
    theirs = {"include_usage": False}
    await asyncio.to_thread(lambda: list(client.chat.completions.create(**ASK, stream=True, stream_options=theirs)))
    assert server.requests[2].body["stream_options"] == theirs
    await asyncio.to_thread(lambda: client.responses.create(model="gpt-5", input="x", stream=True).close())
    assert "stream_options" not in server.requests[3].body
    assert [tokens(op) for op in recorded.all()[:2]] == [CHAT_TOKENS] * 2


# One call is one operation


def test_within_a_call_the_program_records_itself_nothing_is_added(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    server.say(openai_error(500), Whole(chat()))
    with operation("my chat", kind="llm", model="gpt-4o") as op:
        client.chat.completions.create(**ASK)
        op.usage(input_tokens=5, output_tokens=1)
    op = recorded.one()
    assert (op.name, op.model, op.input_tokens) == ("my chat", "gpt-4o", 5)
    assert (op.attempt, op.http_status) == (2, 200)


def test_within_other_work_a_call_is_its_child(server: ModelServer, client: openai.OpenAI, recorded: Recorded) -> None:
    server.say(Whole(chat()))
    with operation("turn", kind="task"):
        client.chat.completions.create(**ASK)
        client.chat.completions.create(**ASK)
    *calls, turn = recorded.all()
    assert [(op.kind, op.parent_span_id, op.trace_id) for op in calls] == [("llm", turn.span_id, turn.trace_id)] * 2


# On and off


def test_off_puts_everything_back_and_on_twice_is_on_once(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded
) -> None:
    instrument.off()
    classes = [openai.OpenAI, openai.AsyncOpenAI, openai.Stream, openai.AsyncStream]
    classes += [kind for client_class in classes[:2] for kind in inspect.getmro(client_class)]
    classes += [openai._legacy_response.LegacyAPIResponse, openai._response.APIResponse]
    before = [dict(vars(kind)) for kind in classes]
    switch = instrument.openai()
    assert instrument.openai() is switch
    server.say(Whole(chat()), Streamed(CHAT_STREAM))
    client.chat.completions.create(**ASK)
    list(client.chat.completions.with_raw_response.create(**ASK, stream=True).parse())
    assert len(recorded.all()) == 2
    switch.off()
    # Python keeps what it computed of a generic class beside what the class defines.
    after = [dict(vars(kind)) for kind in classes]
    assert after == before
    client.chat.completions.create(**ASK, stream=True).close()
    assert len(recorded.all()) == 2


def test_a_stream_outlives_the_instrument(server: ModelServer, client: openai.OpenAI, recorded: Recorded) -> None:
    server.say(Streamed(CHAT_STREAM))
    stream = client.chat.completions.create(**ASK, stream=True)
    instrument.off()
    assert len(list(stream)) == 6
    assert tokens(recorded.one()) == CHAT_TOKENS


def test_a_mistake_of_ours_never_reaches_the_program(
    server: ModelServer, client: openai.OpenAI, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("our mistake")

    monkeypatch.setattr(guard, "raise_errors", False)
    server.say(Whole(chat()), Streamed(CHAT_STREAM))
    for name in ("whole", "add", "fields", "__init__"):
        with monkeypatch.context() as patched:
            patched.setattr("ralex_core.collection.llm_answer.ChatAnswer." + name, broken)
            server.say(Whole(chat()), Streamed(CHAT_STREAM))
            assert client.chat.completions.create(**ASK).id == "chatcmpl-1"
            assert len(list(client.chat.completions.create(**ASK, stream=True))) == 6
    assert guard.failures
    assert active.current.get() is None
