"""The real Anthropic SDK, sync and async, against a server that speaks its wire format."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import pytest

from ralex_core.monitoring import instrument, operation
from tests.support.model_server import (
    MESSAGES_USAGE,
    Gate,
    ModelServer,
    Streamed,
    Whole,
    anthropic_error,
    message,
    message_stream,
    model_server,
    tokens,
)
from tests.support.recorded import Recorded, attributes

TOKENS = (1000, 600, 300, 100, 50, 20)
ONLY_INPUT = (1000, 600, 300, 100, None, None)
NO_TOKENS = (None,) * 6
ASK: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "a secret prompt"}],
}
DELTA = 3
"""Position of the first part of the answer in `message_stream`."""


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with model_server(Whole(message())) as server:
        yield server


@pytest.fixture(autouse=True)
def on(recorded: Recorded) -> None:
    instrument.anthropic(providers={"127.0.0.1": "anthropic"})


@pytest.fixture
def client(server: ModelServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="k") as client:
        yield client


@pytest.fixture
async def async_client(server: ModelServer) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="k") as client:
        yield client


# Answers in one piece


def test_a_message_is_one_operation_whose_input_includes_the_cache(
    server: ModelServer, client: anthropic.Anthropic, recorded: Recorded
) -> None:
    server.say(Whole(message()))
    assert client.messages.create(**ASK).id == "msg_01"
    op = recorded.one()
    assert (op.kind, op.name, op.status, op.provider) == ("llm", "messages", "ok", "anthropic")
    assert (op.requested_model, op.model) == ("claude-sonnet-4-6", "claude-sonnet-4-6")
    assert (op.provider_request_id, op.service_tier, op.http_status, op.attempt) == ("msg_01", "standard", 200, 1)
    assert tokens(op) == TOKENS
    assert attributes(op) == {
        "instrument": "anthropic",
        "gen_ai.request.stream": False,
        "server.address": "127.0.0.1",
        "request_id": "req_1",
        "gen_ai.response.finish_reasons": ["end_turn"],
        "web_searches": 2,
    }
    assert "secret" not in repr(op)


async def test_an_async_message_is_recorded_alike(
    server: ModelServer, async_client: anthropic.AsyncAnthropic, recorded: Recorded
) -> None:
    server.say(Whole(message()))
    await asyncio.gather(*(async_client.messages.create(**ASK) for _ in range(3)))
    assert [(op.name, tokens(op)) for op in recorded.all()] == [("messages", TOKENS)] * 3


def test_the_beta_api_is_the_same_call_and_its_compaction_is_counted(
    server: ModelServer, client: anthropic.Anthropic, recorded: Recorded
) -> None:
    part = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    compaction = {"type": "compaction", "input_tokens": 5000, "output_tokens": 70, **part}
    server.say(Whole(message(usage={**MESSAGES_USAGE, "iterations": [compaction]})))
    client.beta.messages.create(**ASK)
    assert server.requests[0].path.startswith("/v1/messages")
    assert tokens(recorded.one()) == (6000, 600, 300, 100, 120, 20)


def test_counting_tokens_is_free_and_no_call_to_a_model(
    server: ModelServer, client: anthropic.Anthropic, recorded: Recorded
) -> None:
    server.say(Whole({"input_tokens": 12}))
    counted = client.messages.count_tokens(model=ASK["model"], messages=ASK["messages"])
    assert counted.input_tokens == 12
    assert recorded.all() == []


@pytest.mark.parametrize(
    ("status", "kind", "attempts"),
    [
        (400, "invalid_request_error", 1),
        (401, "authentication_error", 1),
        (402, "billing_error", 1),
        (429, "rate_limit_error", 3),
        (500, "api_error", 3),
        (529, "overloaded_error", 3),
    ],
)
async def test_an_error_is_recorded_with_its_kind_and_attempts_and_raised_as_it_is(
    server: ModelServer,
    client: anthropic.Anthropic,
    async_client: anthropic.AsyncAnthropic,
    recorded: Recorded,
    status: int,
    kind: str,
    attempts: int,
) -> None:
    server.say(anthropic_error(status, kind))
    raised: list[anthropic.APIStatusError] = []
    for call in (lambda: asyncio.to_thread(client.messages.create, **ASK), lambda: async_client.messages.create(**ASK)):
        try:
            await call()
        except anthropic.APIStatusError as caught:
            raised.append(caught)
    assert [caught.status_code for caught in raised] == [status] * 2
    assert len(server.requests) == 2 * attempts
    for op, caught in zip(recorded.all(), raised, strict=True):
        assert (op.status, op.http_status, op.attempt) == ("error", status, attempts)
        assert op.error_type == f"{type(caught).__module__}.{type(caught).__qualname__}"
        assert (tokens(op), attributes(op)["error.code"]) == (NO_TOKENS, kind)
        assert "secret" not in repr(op)


def test_attempts_that_failed_before_the_answer_are_counted(
    server: ModelServer, client: anthropic.Anthropic, recorded: Recorded
) -> None:
    server.say(anthropic_error(529, "overloaded_error"), Whole(message()))
    client.messages.create(**ASK)
    assert (recorded.one().status, recorded.one().attempt) == ("ok", 2)


# Streams


async def test_a_stream_of_events_keeps_its_type_and_is_recorded_when_it_ends(
    server: ModelServer,
    client: anthropic.Anthropic,
    async_client: anthropic.AsyncAnthropic,
    recorded: Recorded,
) -> None:
    server.say(Streamed(message_stream()))
    stream = await asyncio.to_thread(lambda: client.messages.create(**ASK, stream=True))
    assert type(stream) is anthropic.Stream
    assert len(await asyncio.to_thread(list, stream)) == 8
    events = await async_client.messages.create(**ASK, stream=True)
    assert type(events) is anthropic.AsyncStream
    assert [event.type async for event in events][-1] == "message_stop"
    for op in recorded.all():
        assert (op.name, op.status, op.http_status, tokens(op)) == ("messages", "ok", 200, TOKENS)
        assert op.ttft_ms is not None
        assert attributes(op)["gen_ai.request.stream"] is True
        assert "secret" not in repr(op)
    assert len(recorded.all()) == 2


async def test_the_stream_helper_is_recorded_once(
    server: ModelServer,
    client: anthropic.Anthropic,
    async_client: anthropic.AsyncAnthropic,
    recorded: Recorded,
) -> None:
    server.say(Streamed(message_stream()))

    def helped() -> str:
        with operation("turn"), client.messages.stream(**ASK) as stream:
            return "".join(stream.text_stream)

    assert await asyncio.to_thread(helped) == "a secret answer"
    async with async_client.messages.stream(**ASK) as stream:
        assert await stream.get_final_text() == "a secret answer"
    assert [(op.status, tokens(op)) for op in recorded.all("llm")] == [("ok", TOKENS)] * 2
    assert recorded.all("llm")[0].parent_span_id == recorded.named("turn").span_id


@pytest.mark.parametrize("cut", [False, True])
def test_a_stream_that_is_cut_is_an_error_that_knows_its_input_only(
    server: ModelServer, client: anthropic.Anthropic, recorded: Recorded, cut: bool
) -> None:
    server.say(Streamed(message_stream()[: DELTA + 2], cut=cut))
    stream = client.messages.create(**ASK, stream=True)
    if cut:
        with pytest.raises(Exception, match=r"incomplete|closed"):
            list(stream)
    else:
        list(stream)
    op = recorded.one()
    assert (op.status, op.http_status, tokens(op)) == ("error", 200, ONLY_INPUT)
    assert "RemoteProtocolError" in str(op.error_type) if cut else op.error_type == "stream_cut"


def test_an_error_in_the_middle_of_a_stream_is_one(
    server: ModelServer, client: anthropic.Anthropic, recorded: Recorded
) -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "a secret"}}
    server.say(Streamed([*message_stream()[:DELTA], overloaded]))
    with pytest.raises(anthropic.APIStatusError):
        list(client.messages.create(**ASK, stream=True))
    op = recorded.one()
    assert (op.status, op.http_status, tokens(op)) == ("error", 200, ONLY_INPUT)
    assert attributes(op)["error.code"] == "overloaded_error"
    assert "secret" not in repr(op)


async def test_a_stream_that_is_closed_early_is_cancelled(
    server: ModelServer,
    client: anthropic.Anthropic,
    async_client: anthropic.AsyncAnthropic,
    recorded: Recorded,
) -> None:
    gate = Gate()
    server.say(Streamed([*message_stream()[: DELTA + 1], gate, *message_stream()[DELTA + 1 :]]))

    def read_some() -> Any:
        with client.messages.stream(**ASK) as stream:
            next(stream.text_stream)
        return stream

    kept = await asyncio.to_thread(read_some)
    async with async_client.messages.stream(**ASK) as also_kept:
        await anext(also_kept)
    gate.open()
    assert [(op.status, op.error_type, tokens(op)) for op in recorded.all()] == [
        ("cancelled", "stream_closed", ONLY_INPUT)
    ] * 2
    del kept, also_kept
    gc.collect()
    assert len(recorded.all()) == 2


def test_a_stream_that_is_dropped_ends_at_once(
    server: ModelServer, client: anthropic.Anthropic, recorded: Recorded
) -> None:
    server.say(Streamed(message_stream()))
    gc.disable()
    try:
        stream = client.messages.create(**ASK, stream=True)
        next(stream)
        del stream
        assert (recorded.one().status, tokens(recorded.one())) == ("cancelled", ONLY_INPUT)
    finally:
        gc.enable()


async def test_raw_responses_are_recorded_by_what_is_made_of_them(
    server: ModelServer,
    client: anthropic.Anthropic,
    async_client: anthropic.AsyncAnthropic,
    recorded: Recorded,
) -> None:
    server.say(Whole(message()), Whole(message()), Streamed(message_stream()))
    raw = await asyncio.to_thread(lambda: client.messages.with_raw_response.create(**ASK))
    assert raw.parse().id == "msg_01"
    raw = await async_client.messages.with_raw_response.create(**ASK)
    assert (await raw.parse()).id == "msg_01"
    raw = await asyncio.to_thread(lambda: client.messages.with_raw_response.create(**ASK, stream=True))
    assert len(list(raw.parse())) == 8
    async with async_client.messages.with_streaming_response.create(**ASK, stream=True) as raw:
        assert len([event async for event in await raw.parse()]) == 8
    assert [(op.status, tokens(op)) for op in recorded.all()] == [("ok", TOKENS)] * 4


# On and off


def test_off_puts_everything_back_and_on_twice_is_on_once(
    server: ModelServer, client: anthropic.Anthropic, recorded: Recorded
) -> None:
    instrument.off()
    classes = [anthropic.Stream, anthropic.AsyncStream, anthropic.APIResponse, anthropic.AsyncAPIResponse]
    classes += [*inspect.getmro(anthropic.Anthropic), *inspect.getmro(anthropic.AsyncAnthropic)]
    before = [dict(vars(kind)) for kind in classes]
    switch = instrument.anthropic()
    assert instrument.anthropic() is switch
    server.say(Whole(message()), Streamed(message_stream()))
    client.messages.create(**ASK)
    list(client.messages.with_raw_response.create(**ASK, stream=True).parse())
    assert [op.provider for op in recorded.all()] == [None, None]
    switch.off()
    assert [dict(vars(kind)) for kind in classes] == before
    client.messages.create(**ASK, stream=True).close()
    assert len(recorded.all()) == 2
