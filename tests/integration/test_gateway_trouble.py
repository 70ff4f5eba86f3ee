"""The gateway when something is wrong: with the store, the provider, the network, or the caller."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ralex_core.errors import IntakeFull, StoreFull
from tests.support.dashboard import served, small_host
from tests.support.gateway import KEY, Front, front
from tests.support.model_server import (
    HUNG_UP,
    Raw,
    Streamed,
    Whole,
    chat,
    model_server,
    openai_error,
    tokens,
)

CHAT = "openai/v1/chat/completions"
ASK: dict[str, Any] = {"model": "test-model", "messages": []}
TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    gateway = {"silence_s": 1}
    with front(tmp_path_factory.mktemp("gateway") / "home", max_body_mb=1, gateway=gateway) as found:
        yield found


def talk(at: str, *pieces: bytes, until: bytes = b"") -> bytes:
    """What comes back for bytes sent as they are, until the connection ends or something has come."""
    host, _, port = at.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        for piece in pieces:
            client.sendall(piece)
        received = b""
        while part := client.recv(65536):
            received += part
            if until and until in received:
                break
    return received


def request(at: str, *headers: str, path: str = CHAT, body: bytes = b'{"model":"test-model"}') -> bytes:
    lines = [f"POST /gateway/{path} HTTP/1.1", f"Host: {at}", *headers, "Connection: close"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


# --- the monitor's own store ------------------------------------------------------------------------------------


class Refusing:
    """An intake that refuses until it is told to take again."""

    def __init__(self, inner: Any, error: Exception) -> None:
        self.inner, self.error = inner, error
        self.refuses = True

    def submit(self, operations: Any) -> Any:
        if self.refuses:
            raise self.error
        return self.inner.submit(operations)


@pytest.mark.parametrize("error", [IntakeFull("The queue is full."), StoreFull("The disk is full.")])
def test_calls_pass_while_nothing_can_be_stored_and_are_stored_once_afterwards(
    tmp_path: Path, error: Exception
) -> None:
    home = tmp_path / "home"
    with model_server(Whole(chat(model="gpt-4o"))) as provider:
        upstreams = {"openai": {"url": f"{provider.url}/v1"}}
        with small_host(home, upstreams=upstreams) as host:
            host.real.intake = Refusing(host.real.intake, error)  # type: ignore[assignment]
            with served(host) as at:
                answers = [talk(at, request(at)) for _ in range(5)]
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        lines = [
            line for file in (home / "spool" / "gateway").rglob("*.ndjson") for line in file.read_text().splitlines()
        ]
        assert len(lines) == 5
        # the next process delivers what this one could not
        with front(home) as again:
            stored = again.commits.the(5)
            assert {operation.cost_usd for operation in stored} == {stored[0].cost_usd}
            assert stored[0].cost_usd is not None
            ids = {answer.split(b"x-ralex-operation-id: ")[1][:32].decode() for answer in answers}
            assert {operation.operation_id for operation in stored} == ids
            assert {operation.door for operation in stored} == {"gateway"}
            assert set(again.commits.times.values()) == {1}
    assert not list((home / "spool" / "gateway").rglob("*.ndjson"))


def test_a_store_that_comes_back_gets_what_was_spooled_meanwhile(tmp_path: Path) -> None:
    with front(tmp_path / "home") as found:
        real = found.host.real.intake
        refusing = Refusing(real, IntakeFull("The queue is full."))
        found.host.real.intake = refusing  # type: ignore[assignment]
        found.provider.say(Whole(chat(model="test-model")))
        ids = {found.post(CHAT, ASK).headers["x-ralex-operation-id"] for _ in range(3)}
        spool = tmp_path / "home" / "spool" / "gateway"
        refusing.refuses = False
        stored = found.commits.the(3)
        assert {operation.operation_id for operation in stored} == ids
        assert {operation.cost_usd for operation in stored} == {Decimal("0.0038")}
    assert not list(spool.rglob("*.ndjson"))


# --- the provider -----------------------------------------------------------------------------------------------


def test_an_upstream_that_says_nothing_is_given_up_with_504(shared: Front) -> None:
    shared.provider.say(Raw([HUNG_UP], close=True))
    answer = shared.post(CHAT, ASK)
    assert answer.status == 504
    assert answer.json()["error"]["code"] == "upstream_timeout"
    operation = shared.recorded(answer)
    assert (operation.status, operation.error_type, operation.http_status) == ("error", "upstream_timeout", None)
    assert operation.cost_usd is None


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"])
def test_an_answer_that_is_not_http_is_502(shared: Front, garbage: bytes) -> None:
    shared.provider.say(Raw([garbage], close=True))
    answer = shared.post("anthropic/v1/messages", ASK)
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_bad_answer")
    assert shared.recorded(answer).error_type == "upstream_bad_answer"


@pytest.mark.parametrize("status", [600, 700, 999])
def test_a_status_that_http_does_not_have_is_502(shared: Front, status: int) -> None:
    shared.provider.say(Raw([b"HTTP/1.1 %d Odd\r\ncontent-length: 2\r\n\r\n{}" % status], close=True))
    answer = shared.post(CHAT, ASK)
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_bad_answer")
    assert str(status) in answer.json()["error"]["message"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert shared.recorded(answer).error_type == "upstream_bad_answer"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_may_name_a_length(shared: Front, status: int) -> None:
    shared.provider.say(Raw([b"HTTP/1.1 %d Empty\r\ncontent-length: 20\r\n\r\n" % status], close=True))
    answer = shared.post(CHAT, ASK)
    assert (answer.status, answer.body) == (status, b"")
    assert "content-length" not in answer.headers
    assert shared.recorded(answer).http_status == status


def test_an_idle_connection_that_has_ended_costs_the_caller_nothing(shared: Front) -> None:
    shared.provider.say(Whole(chat(model="test-model")), Raw([], close=True), Whole(chat(model="test-model")))
    assert shared.post(CHAT, ASK).status == 200
    answer = shared.post(CHAT, ASK)  # its connection closes without a word; it is sent again on a new one
    assert answer.status == 200
    assert len(shared.provider.requests) == 3


def test_answers_without_a_length_end_with_their_connection_and_signs_of_life_are_skipped(shared: Front) -> None:
    body = json.dumps(chat(model="test-model")).encode()
    head = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
    shared.provider.say(Raw([head, body[:100], body[100:]], close=True))
    answer = shared.post(CHAT, ASK)
    assert (answer.status, answer.body) == (200, body)
    assert shared.recorded(answer).cost_usd == Decimal("0.0038")


def test_usage_of_an_answer_of_many_megabytes_is_read_from_its_end(shared: Front) -> None:
    body = json.dumps(chat(model="test-model", choices=[{"index": 0, "message": {"content": "x" * 3_000_000}}]))
    body = body.replace('"usage"', '"filler": "' + "\\u00e9" * 100 + '", "usage"').encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
    shared.provider.say(Raw([head, *(body[at : at + 100_000] for at in range(0, len(body), 100_000))]))
    answer = shared.post(CHAT, ASK)
    assert answer.body == body
    operation = shared.recorded(answer)
    assert (operation.cost_usd, operation.provider_request_id) == (Decimal("0.0038"), "chatcmpl-1")


def test_an_upstream_that_does_not_know_how_to_be_asked_gets_the_request_as_it_was(tmp_path: Path) -> None:
    done = [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, "[DONE]"]
    with front(tmp_path / "home") as found:
        found.provider.say(openai_error(400, "unknown_field"), Streamed(done), Streamed(done))
        body = json.dumps({**ASK, "stream": True}).encode()
        answer = found.post(CHAT, body)
        assert answer.status == 200
        assert [asked.raw == body for asked in found.provider.requests] == [False, True]
        assert found.post(CHAT, body).status == 200
        assert found.provider.requests[-1].raw == body  # it is not asked again
        assert tokens(found.recorded(answer)) == (None,) * 6


# --- the caller -------------------------------------------------------------------------------------------------


def test_bodies_beyond_the_limit_are_refused_before_they_are_read(shared: Front) -> None:
    announced = f"POST /gateway/{CHAT} HTTP/1.1\r\nHost: {shared.at}\r\nContent-Length: 2000000\r\n\r\n".encode()
    answer = talk(shared.at, announced, until=b"too_large")
    assert answer.startswith(b"HTTP/1.1 413")
    chunked = f"POST /gateway/{CHAT} HTTP/1.1\r\nHost: {shared.at}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    part = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    assert talk(shared.at, chunked, *([part] * 17), until=b"too_large").startswith(b"HTTP/1.1 413")
    shared.provider.say(Whole(chat()))
    assert shared.post(CHAT, ASK).status == 200  # what was held of the memory for bodies is free again


def test_a_chunked_request_reaches_the_provider_with_one_length(shared: Front) -> None:
    shared.provider.say(Whole(chat()))
    head = (
        f"POST /gateway/{CHAT} HTTP/1.1\r\nHost: {shared.at}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    answer = talk(shared.at, head.encode(), b'5\r\n{"a":\r\n', b"2\r\n1}\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    asked = shared.provider.requests[-1]
    assert (asked.raw, asked.headers["content-length"]) == (b'{"a":1}', "7")
    assert "transfer-encoding" not in asked.headers


@pytest.mark.parametrize(
    "headers",
    [
        ("Transfer-Encoding: chunked",),  # beside a length: which of the two counts is what smuggling lives on
        ("Content-Length: 3",),
        ("X-A: b\r\n\tContinued: here",),
        ("X-A: b\nX-Injected: c",),
        ("X-A: b\rX-Injected: c",),
        ("X-A: \x00",),
    ],
)
def test_requests_that_could_be_read_in_two_ways_do_not_reach_the_provider(
    shared: Front, headers: tuple[str, ...]
) -> None:
    shared.provider.say(Whole(chat()))
    answer = talk(shared.at, request(shared.at, *headers), until=b"\r\n\r\n")
    for asked in shared.provider.requests:  # what is let through says one thing only
        assert asked.head.lower().count("content-length") == 1
        assert "x-injected" not in asked.headers and "transfer-encoding" not in asked.headers
        assert asked.raw in (b'{"model":"test-model"}', b'{"m')
    assert answer.startswith(b"HTTP/1.1 400") or shared.provider.requests


def test_headers_of_one_hop_and_the_monitors_own_stay_here(shared: Front) -> None:
    shared.provider.say(
        Whole(chat(), headers={"x-mine": "yes", "connection": "x-hop", "x-hop": "a", "set-cookie": "b"})
    )
    span = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
    answer = shared.post(
        CHAT,
        ASK,
        {
            **{"Connection": "keep-alive, X-Secret-Hop", "X-Secret-Hop": "1", "TE": "trailers", "Cookie": "a=b"},
            **{"Proxy-Authorization": "c", "X-Ralex-Token": TOKEN, "Accept-Encoding": "br, gzip;q=0.5, zstd"},
            "traceparent": f"00-{span}-01",
        },
    )
    sent = shared.provider.requests[-1].headers
    hidden = {"x-secret-hop", "te", "cookie", "proxy-authorization", "x-ralex-token", "connection"}
    assert not hidden & set(sent)
    assert sent["accept-encoding"] == "gzip;q=0.5"
    assert sent["host"] == shared.provider.url.removeprefix("http://")
    operation = shared.recorded(answer)
    assert (operation.trace_id, operation.parent_span_id) == tuple(span.split("-"))
    assert sent["traceparent"] == f"00-{operation.trace_id}-{operation.span_id}-01"
    assert answer.headers["x-mine"] == "yes"
    assert not {"x-hop", "set-cookie"} & set(answer.headers)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nobody/v1/chat/completions", 404),
        ("http://a.example/v1/chat/completions", 404),
        ("openai/v1/../../admin", 404),
        ("openai/v1/%2e%2e/%2e%2e/admin", 404),
        ("openai/v1/a%2f..%2fb", 404),
        ("openai/v2/chat/completions", 404),
        ("openai/v1/", 404),
        ("project//openai/v1/models", 404),
    ],
)
def test_no_path_leads_anywhere_but_to_an_upstream_of_the_settings(shared: Front, path: str, status: int) -> None:
    shared.provider.say(Whole(chat()))
    answer = talk(shared.at, request(shared.at, path=path))
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert shared.provider.requests == []


def test_the_path_may_say_whose_call_it_is_and_a_header_which_upstream(shared: Front) -> None:
    shared.provider.say(Whole(chat(model="test-model")))
    path = "project/my%20shop/user/ann/session/s%2F1/operation/review/feature/diff/openai/v1/chat/completions"
    operation = shared.recorded(shared.post(path, ASK, {"X-Ralex-Upstream": "openrouter"}))
    assert (operation.project, operation.user_id, operation.session_id) == ("my shop", "ann", "s/1")
    assert (operation.name, operation.feature, operation.provider) == ("review", "diff", "openrouter")
    assert json.loads(operation.attributes or "")["upstream"] == "openrouter"
    assert shared.post(CHAT, ASK, {"X-Ralex-Upstream": "http://a.example"}).status == 404


def test_reading_routes_pass_and_are_not_recorded(shared: Front) -> None:
    shared.provider.say(Whole({"data": []}))
    answer = shared.post("openai/v1/models?limit=2", b"", method="GET")
    assert (answer.status, answer.json()) == (200, {"data": []})
    assert shared.provider.requests[-1].path == "/v1/models?limit=2"
    assert "x-ralex-operation-id" not in answer.headers
    counted = shared.recorded(shared.post("anthropic/v1/messages/count_tokens", ASK))
    assert (counted.kind, counted.name, counted.cost_usd) == ("api", "count_tokens", None)
    assert shared.post(CHAT, b"", method="PUT").status == 405


def test_many_callers_at_once_are_all_recorded_once(shared: Front) -> None:
    shared.provider.say(Whole(chat(model="test-model")))
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: shared.post(CHAT, {**ASK, "user": f"u{number}"}), range(200)))
    recorded = [shared.recorded(answer) for answer in answers]
    assert [operation.user_id for operation in recorded] == [f"u{number}" for number in range(200)]
    assert {shared.commits.times[operation.operation_id] for operation in recorded} == {1}


# --- who may ----------------------------------------------------------------------------------------------------


def test_on_loopback_other_hosts_and_origins_are_kept_out(shared: Front) -> None:
    shared.provider.say(Whole(chat()))
    assert talk(shared.at, request("rebound.example")).startswith(b"HTTP/1.1 421")
    assert shared.post(CHAT, ASK, {"Origin": "https://a.example"}).status == 403
    assert shared.post(CHAT, ASK, {"Sec-Fetch-Site": "cross-site"}).status == 403
    assert shared.provider.requests == []


def test_with_a_token_callers_send_it_beside_the_key_or_in_its_place(tmp_path: Path) -> None:
    with model_server(Whole(chat())) as provider:
        url = f"{provider.url}/v1"
        upstreams = {
            "openai": {"url": url, "api_key": "sk-held-by-the-monitor"},
            "anthropic": {"url": url, "api_key": "sk-ant-held-by-the-monitor"},
            "openrouter": {"url": url},
        }
        with small_host(tmp_path / "home", token=TOKEN, upstreams=upstreams) as host, served(host) as at:

            def ask(*headers: str, path: str = CHAT) -> bytes:
                return talk(at, request(at, *headers, path=path))[:12]

            assert ask(f"Authorization: Bearer {KEY}") == b"HTTP/1.1 401"
            assert ask(f"Authorization: Bearer {KEY}", f"X-Ralex-Token: {TOKEN}") == b"HTTP/1.1 200"
            assert provider.requests[-1].headers["authorization"] == f"Bearer {KEY}"
            assert ask(f"Authorization: Bearer {TOKEN}") == b"HTTP/1.1 200"
            assert provider.requests[-1].headers["authorization"] == "Bearer sk-held-by-the-monitor"
            assert ask(f"X-Api-Key: {TOKEN}", path="anthropic/v1/messages") == b"HTTP/1.1 200"
            assert provider.requests[-1].headers["x-api-key"] == "sk-ant-held-by-the-monitor"
            assert "authorization" not in provider.requests[-1].headers
            number = len(provider.requests)
            assert ask(f"Authorization: Bearer {TOKEN}", path="openrouter/v1/models") == b"HTTP/1.1 401"
            assert len(provider.requests) == number
            assert all(TOKEN not in asked.head for asked in provider.requests)
