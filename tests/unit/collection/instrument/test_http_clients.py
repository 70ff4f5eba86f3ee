"""httpx, httpx2 and requests on a real server: each request on the network recorded once, and our trace sent along."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from ralex_core.monitoring import instrument, operation
from tests.support.recorded import Recorded, attributes
from tests.support.web import Web, serving

INSTRUMENTS: dict[str, Callable[..., Any]] = {
    "httpx": instrument.httpx,
    "httpx2": instrument.httpx2,
    "requests": instrument.requests,
}


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> str:
    """The one of two that are alike; a test that is about requests too names all three."""
    return request.param


@pytest.fixture
def http(library: str) -> Any:
    """The library, or httpx beside requests."""
    return httpx2 if library == "httpx2" else httpx


@pytest.fixture
def switched_on(library: str) -> Callable[..., Any]:
    """The function that switches its instrument on."""
    return INSTRUMENTS[library]


@pytest.fixture
def other_web() -> Iterator[Web]:
    with serving() as web:
        yield web


def test_a_request_is_recorded_as_a_child_and_carries_our_trace(
    recorded: Recorded, web: Web, http: Any, switched_on: Callable[..., Any]
) -> None:
    switched_on()
    instrument.requests()
    with operation("page") as page, http.Client() as client:
        assert client.post(web.url + "/secret?key=hunter2", content=b"body").text == "hello"
        assert requests.put(web.url + "/secret?key=hunter2", data=b"body").text == "hello"
    first, second = recorded.all("api")
    assert (first.name, second.name) == ("POST 127.0.0.1", "PUT 127.0.0.1")
    for call, seen in zip((first, second), web.seen, strict=True):
        assert (call.http_status, call.status, call.attempt) == (200, "ok", 1)
        assert (call.trace_id, call.parent_span_id) == (recorded.named("page").trace_id, recorded.named("page").span_id)
        assert seen.headers["traceparent"] == f"00-{call.trace_id}-{call.span_id}-01"
        assert attributes(call) == {
            "http.request.method": first.name[:4] if call is first else "PUT",
            "http.direction": "client",
            "server.address": "127.0.0.1",
            "server.port": web.port,
            "http.response.body.size": 5,
        }
    assert "hunter2" not in str(recorded.all())
    assert page.operation_id == recorded.named("page").operation_id


@pytest.mark.parametrize("library", ["httpx", "httpx2", "requests"])
def test_error_answers_and_failed_connections_are_errors(
    recorded: Recorded, web: Web, library: str, http: Any, switched_on: Callable[..., Any]
) -> None:
    switched_on()
    instrument.requests()
    with http.Client() as client:
        get = client.get if library == "httpx" else requests.get
        assert get(web.url + "/status/404").status_code == 404
        assert get(web.url + "/status/500").status_code == 500
        with pytest.raises((httpx.ConnectError, httpx2.ConnectError, requests.ConnectionError)):
            get("http://127.0.0.1:9/")
        with pytest.raises(
            (httpx.RemoteProtocolError, httpx2.RemoteProtocolError, requests.exceptions.ChunkedEncodingError)
        ):
            get(web.url + "/cut")
    missing, broken, refused, cut = recorded.all()
    assert (missing.http_status, missing.error_type) == (404, "HTTP 404")
    assert (broken.status, broken.error_type) == ("error", "HTTP 500")
    assert (refused.status, refused.http_status) == ("error", None)
    assert refused.error_type in (f"{library}.ConnectError", "requests.exceptions.ConnectionError")
    assert cut.http_status == 200


@pytest.mark.parametrize("library", ["httpx", "httpx2", "requests"])
def test_each_hop_of_a_redirect_is_recorded_with_its_own_parent(
    recorded: Recorded, web: Web, other_web: Web, library: str, http: Any, switched_on: Callable[..., Any]
) -> None:
    switched_on(traceparent=["localhost"])
    instrument.requests(traceparent=["localhost"])
    here = f"http://localhost:{web.port}/to/{other_web.url}/ok"
    with http.Client(follow_redirects=True) as client:
        answer = client.get(here) if library == "httpx" else requests.get(here)
    assert answer.status_code == 200
    assert [(op.name, op.http_status) for op in recorded.all()] == [("GET localhost", 302), ("GET 127.0.0.1", 200)]
    assert "traceparent" in web.seen[0].headers
    assert "traceparent" not in other_web.seen[0].headers, "not named, hence not told of our trace"
    assert [op.attempt for op in recorded.all()] == [1, 1]


def test_nobody_is_told_when_it_is_switched_off_and_the_program_s_own_header_wins(
    recorded: Recorded, web: Web, http: Any, switched_on: Callable[..., Any]
) -> None:
    own = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    with switched_on(traceparent=False), instrument.requests(traceparent=False), http.Client() as client:
        client.get(web.url)
        requests.get(web.url)
    with switched_on(), instrument.requests(), http.Client() as client:
        client.get(web.url, headers=own)
        requests.get(web.url, headers=own)
    assert [seen.headers.get("traceparent") for seen in web.seen] == [
        None,
        None,
        own["traceparent"],
        own["traceparent"],
    ]
    assert len(recorded.all()) == 4


def test_attempts_are_counted(recorded: Recorded, web: Web, http: Any, switched_on: Callable[..., Any]) -> None:
    switched_on()
    instrument.requests()
    with http.Client() as client:
        request = client.build_request("GET", web.url + "/flaky")
        while client.send(request).status_code == 503:
            pass
        client.get(web.url, headers={"x-stainless-retry-count": "2"})
    assert [op.attempt for op in recorded.all()] == [1, 2, 3, 3]
    recorded.clear()
    web.flaky = 0
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(3, status_forcelist=[503], backoff_factor=0)))
        assert session.get(web.url + "/flaky").status_code == 200
    assert (recorded.one().attempt, recorded.one().http_status) == (3, 200)


@pytest.mark.parametrize("library", ["httpx", "httpx2", "requests"])
def test_a_streamed_answer_is_timed_to_its_last_byte(
    recorded: Recorded, web: Web, library: str, http: Any, switched_on: Callable[..., Any]
) -> None:
    switched_on()
    instrument.requests()
    if library == "httpx":
        with http.stream("GET", web.url + "/parts") as answer:
            assert recorded.all() == []
            assert b"".join(answer.iter_bytes()) == b"part " * 5
    else:
        with requests.get(web.url + "/parts", stream=True) as answer:
            assert recorded.all() == []
            assert b"".join(answer.iter_content(5)) == b"part " * 5
    call = recorded.one()
    assert (call.duration_ms or 0) >= 8, "four pauses of 2 ms lie between the parts"
    assert call.status == "ok"


def test_an_abandoned_answer_is_recorded_when_it_goes(recorded: Recorded, web: Web) -> None:
    instrument.requests()
    session = requests.Session()
    answer = session.get(web.url + "/parts", stream=True)
    answer.raw.close()
    del answer
    gc.collect()
    assert recorded.one().http_status == 200
    session.close()


def test_async_clients_on_several_loops_and_threads(
    recorded: Recorded, web: Web, http: Any, switched_on: Callable[..., Any]
) -> None:
    switched_on()

    async def go(number: int) -> None:
        async with http.AsyncClient() as client:
            with operation(f"loop {number}"):
                answers = await asyncio.gather(*(client.get(web.url + "/parts") for _ in range(5)))
                assert {answer.text for answer in answers} == {"part " * 5}

    threads = [threading.Thread(target=lambda n=n: asyncio.run(go(n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = recorded.all("api")
    parents = {op.span_id: op.trace_id for op in recorded.all("task")}
    assert len({op.operation_id for op in calls}) == 20
    assert all(parents[op.parent_span_id or ""] == op.trace_id for op in calls)


def test_an_async_call_that_is_cancelled_says_so(
    recorded: Recorded, web: Web, http: Any, switched_on: Callable[..., Any]
) -> None:
    async def go() -> None:
        async with http.AsyncClient() as client:
            switched_on(client)
            task = asyncio.create_task(client.get(web.url))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(go())
    assert [op.status for op in recorded.all()] in ([], ["cancelled"])


def test_one_client_is_switched_on_alone(
    recorded: Recorded, web: Web, http: Any, switched_on: Callable[..., Any]
) -> None:
    with http.Client() as mine, http.Client() as other:
        before = dict(vars(mine))
        with switched_on(mine):
            mine.get(web.url)
            other.get(web.url)
            with switched_on():
                mine.get(web.url)
        assert vars(mine) == before
        mine.get(web.url)
    assert recorded.names() == ["GET 127.0.0.1"] * 2, "once each, though switched on twice"


def test_a_transport_without_a_network_is_recorded_too(
    recorded: Recorded, http: Any, switched_on: Callable[..., Any]
) -> None:
    transport = http.MockTransport(lambda request: http.Response(200, json={}))
    with switched_on(), http.Client(transport=transport) as client:
        client.get("https://example.org/")
    assert recorded.one().name == "GET example.org"


def test_names_stay_few_whatever_hosts_and_methods_are_called(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, http: Any, switched_on: Callable[..., Any]
) -> None:
    from ralex_core.collection.instrument import calls

    monkeypatch.setattr(calls, "_named", {})
    monkeypatch.setattr(calls, "MAX_HOSTS", 5)
    transport = http.MockTransport(lambda request: http.Response(200))
    with switched_on(), http.Client(transport=transport) as client:
        for number in range(30):
            client.request(f"M{number}", f"https://host{number}.example/")
    names = set(recorded.names())
    assert len(names) == 11
    assert "OTHER (other hosts)" in names


def test_what_is_no_client_is_refused_with_a_reason(
    recorded: Recorded, library: str, switched_on: Callable[..., Any]
) -> None:
    with pytest.raises(TypeError, match=f"takes an {library}.Client or {library}.AsyncClient, not 'client'"):
        switched_on("client")


def test_off_restores_both_libraries(recorded: Recorded, web: Web, http: Any, switched_on: Callable[..., Any]) -> None:
    owners = (http.Client, http.AsyncClient, requests.Session, requests.Response, HTTPAdapter)
    before = [dict(vars(owner)) for owner in owners]
    switched_on()
    instrument.requests()
    assert [dict(vars(owner)) for owner in owners] != before
    instrument.off()
    assert [dict(vars(owner)) for owner in owners] == before
    requests.get(web.url)
    assert recorded.all() == []
