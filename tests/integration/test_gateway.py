"""Calls through the gateway: the bytes go through unchanged, and what is recorded is what the provider said."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.collection.gateway.records import key_label
from tests.support.dashboard import served, small_host
from tests.support.gateway import KEY, Front, front
from tests.support.model_server import (
    CHAT_STREAM,
    HUNG_UP,
    OPENING,
    WORDS,
    Gate,
    Raw,
    Streamed,
    Whole,
    anthropic_error,
    chat,
    message,
    openai_error,
    tokens,
)

ASK = {"model": "test-model", "messages": [{"role": "user", "content": "a secret prompt"}]}
CHAT = "openai/v1/chat/completions"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with front(tmp_path_factory.mktemp("gateway") / "home") as found:
        yield found


def test_a_whole_answer_passes_unchanged_and_is_recorded_with_its_cost(shared: Front) -> None:
    body = b'{ "model":"test-model",  "messages" : [],"user":"ann\\u00e9"}\n'
    shared.provider.say(Whole(chat(model="test-model"), headers={"x-request-id": "req_9"}))
    answer = shared.post(CHAT, body, {"X-Ralex-Project": "shop", "X-Ralex-Session": "s-1", "User-Agent": "aider/1"})
    asked = shared.provider.requests[-1]
    assert (asked.path, asked.raw) == ("/v1/chat/completions", body)
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert "x-ralex-project" not in asked.headers
    assert answer.body == json.dumps(chat(model="test-model")).encode()

    operation = shared.recorded(answer)
    assert (operation.kind, operation.name, operation.status, operation.http_status) == ("llm", "chat", "ok", 200)
    assert (operation.project, operation.user_id, operation.session_id) == ("shop", "anné", "s-1")
    assert (operation.client, operation.door, operation.provider) == ("aider", "gateway", "openai")
    assert tokens(operation) == (1000, 800, None, None, 300, 200)
    # 200 plain at 2, 800 cached at 0.5, 300 out at 10 (USD per million tokens)
    assert operation.cost_usd == Decimal("0.0038")
    attributes = json.loads(operation.attributes or "")
    assert attributes["gateway_key"] == key_label(KEY.encode())
    assert "secret" not in repr(operation) and KEY not in repr(operation)


def test_a_stream_passes_as_it_comes_and_is_asked_for_usage_that_its_caller_does_not_see(shared: Front) -> None:
    gate = Gate()
    events = [{**event, "model": "test-model"} if isinstance(event, dict) else event for event in CHAT_STREAM]
    shared.provider.say(Streamed([*events[:3], gate, *events[3:]]))
    connection = http.client.HTTPConnection(shared.at, timeout=30)
    connection.request("POST", f"/gateway/{CHAT}", json.dumps({**ASK, "stream": True}).encode())
    response = connection.getresponse()
    begin = b""
    while b"secret " not in begin:  # the first words come while the provider still waits
        part = response.read1(100_000)
        assert part
        begin += part
    gate.open()
    whole = begin + response.read()
    connection.close()
    expected = [f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode() for event in events]
    assert whole == b"".join(expected[:-2] + expected[-1:])  # without the usage chunk, which nobody asked for
    assert shared.provider.requests[-1].body["stream_options"] == {"include_usage": True}
    operation = shared.commits.of(response.headers["x-ralex-operation-id"])
    assert operation.cost_usd == Decimal("0.0038")
    assert operation.ttft_ms is not None and operation.duration_ms is not None
    assert 0 < operation.ttft_ms <= operation.duration_ms


def test_who_asks_for_usage_gets_it_and_its_request_is_not_touched(shared: Front) -> None:
    shared.provider.say(Streamed(CHAT_STREAM))
    body = json.dumps({**ASK, "stream": True, "stream_options": {"include_usage": True}}).encode()
    answer = shared.post(CHAT, body)
    assert shared.provider.requests[-1].raw == body
    assert b'"prompt_tokens": 1000' in answer.body
    assert tokens(shared.recorded(answer))[0] == 1000


def test_a_caller_that_goes_away_closes_the_upstream_and_its_usage_is_unknown(shared: Front) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    line = b"data: " + json.dumps(WORDS[0]).encode() + b"\n\n"
    shared.provider.hung_up.clear()
    shared.provider.say(Raw([head + b"%x\r\n%s\r\n" % (len(line), line), HUNG_UP], close=True))
    host, port = shared.at.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        body = json.dumps({**ASK, "stream": True}).encode()
        client.sendall(
            f"POST /gateway/{CHAT} HTTP/1.1\r\nHost: {shared.at}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        received = b""
        while b"data:" not in received:
            received += client.recv(65536)
    assert shared.provider.hung_up.wait(20)
    operation_id = received.split(b"x-ralex-operation-id: ")[1][:32].decode()
    operation = shared.commits.of(operation_id)
    assert (operation.status, operation.error_type) == ("cancelled", "client_closed")
    assert tokens(operation) == (None,) * 6
    assert operation.cost_usd is None and operation.cost_basis == "unknown"


@pytest.mark.parametrize(
    ("reply", "status", "error_type", "code"),
    [
        (openai_error(429, "rate_limit_error", "rate_limit_exceeded"), 429, "rate_limit_error", "rate_limit_exceeded"),
        (openai_error(402, "insufficient_quota"), 402, "payment_required", None),
        (Whole({"error": {"message": "no credit", "code": 402}}, 402), 402, "payment_required", "402"),
        (Whole("busy", 503), 503, "http_503", None),
    ],
)
def test_errors_of_the_provider_pass_unchanged_and_are_recorded_by_its_type(
    shared: Front, reply: Whole, status: int, error_type: str, code: str | None
) -> None:
    shared.provider.say(reply)
    answer = shared.post(CHAT, ASK, {"X-Stainless-Retry-Count": "2"})
    assert (answer.status, json.loads(answer.body)) == (status, reply.body)
    operation = shared.recorded(answer)
    assert (operation.status, operation.http_status, operation.error_type) == ("error", status, error_type)
    assert operation.attempt == 3
    assert operation.cost_usd is None
    assert json.loads(operation.attributes or "").get("error.code") == code
    assert "secret" not in repr(operation)


def test_anthropics_messages_pass_with_their_cache(shared: Front) -> None:
    shared.provider.say(Whole(message(model="test-model")))
    answer = shared.post("anthropic/v1/messages?beta=true", {**ASK, "max_tokens": 9}, {"X-Api-Key": KEY})
    assert shared.provider.requests[-1].path == "/v1/messages?beta=true"
    operation = shared.recorded(answer)
    assert (operation.name, operation.provider) == ("messages", "anthropic")
    assert tokens(operation) == (1000, 600, 300, 100, 50, 20)
    # 100 plain at 2, 600 read at 0.5, 200 written at 2.5, 100 for an hour at 4, 50 out at 10
    assert operation.cost_usd == Decimal("0.0019")
    shared.provider.say(anthropic_error(529, "overloaded_error"))
    assert shared.recorded(shared.post("anthropic/v1/messages", ASK)).error_type == "overloaded_error"


def test_a_stream_that_is_cut_is_cut_for_the_caller_too_and_has_no_cost(shared: Front) -> None:
    shared.provider.say(Streamed([OPENING, *WORDS], cut=True))
    connection = http.client.HTTPConnection(shared.at, timeout=30)
    connection.request("POST", f"/gateway/{CHAT}", json.dumps({**ASK, "stream": True}).encode())
    response = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()
    operation = shared.commits.of(response.headers["x-ralex-operation-id"])
    assert (operation.status, operation.error_type) == ("error", "stream_cut")
    assert operation.cost_usd is None


def test_an_upstream_that_does_not_answer_is_a_502_in_the_words_of_the_caller(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    base = f"http://127.0.0.1:{port}/v1"
    with (
        small_host(tmp_path / "home", upstreams={"openai": {"url": base}, "anthropic": {"url": base}}) as host,
        served(host) as at,
    ):
        for path, shape in ((CHAT, "openai"), ("anthropic/v1/messages", "anthropic")):
            connection = http.client.HTTPConnection(at, timeout=30)
            connection.request("POST", f"/gateway/{path}", json.dumps(ASK).encode())
            response = connection.getresponse()
            told = json.loads(response.read())
            connection.close()
            assert response.status == 502
            assert "no answer of " + shape in told["error"]["message"]
            assert ("type" in told) == (shape == "anthropic")
