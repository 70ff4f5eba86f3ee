"""`POST /v1/traces`: what exporters send, what they may get wrong, and what they are told."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from ralex_core.collection.otlp_http import TakesOperations, otlp_router
from ralex_core.collection.redaction import Redaction
from ralex_core.config import Settings
from ralex_core.errors import IntakeFull, StoreFull
from ralex_core.model.operation import Operation
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.telemetry import WriteResult
from tests.support.intake import MemoryIntake
from tests.support.live_app import serving
from tests.support.spans import json_bytes, make_request, make_span

PROTOBUF, JSON = "application/x-protobuf", "application/json"
ENCODINGS = pytest.mark.parametrize("content_type", [PROTOBUF, JSON])


def app_for(intake: TakesOperations, home: Path, metrics: SelfMetrics | None = None, **changes: Any) -> FastAPI:
    app = FastAPI()
    app.include_router(otlp_router(lambda: intake, Settings(home=home, **changes), metrics or SelfMetrics()))
    return app


def spans(count: int = 3, **changes: Any) -> list[Any]:
    return [make_span(f"s{number}", span_id=(number + 1).to_bytes(8, "big"), **changes) for number in range(count)]


def encoded(content_type: str, *of: Any) -> bytes:
    request = make_request(*(of or spans()))
    return request.SerializeToString() if content_type == PROTOBUF else json_bytes(request)


def said(response: httpx.Response) -> tuple[int, str]:
    """Code and message of a google.rpc.Status answer."""
    if response.headers["content-type"] == JSON:
        document = response.json()
        return document["code"], document["message"]
    body = response.content  # field 1 is a varint below 128, field 2 text
    assert (body[0], body[2]) == (0x08, 0x12)
    text = body[4:] if body[3] < 0x80 else body[5:]
    return body[1], text.decode()


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake()


@pytest.fixture
async def client(intake: MemoryIntake, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app_for(intake, tmp_path, max_body_mb=1))
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
        yield client


async def post(client: httpx.AsyncClient, body: bytes, content_type: str = PROTOBUF, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/v1/traces", content=body, headers={"content-type": content_type, **named})


@ENCODINGS
async def test_spans_are_stored_and_the_answer_is_empty_in_the_same_encoding(
    client: httpx.AsyncClient, intake: MemoryIntake, content_type: str
) -> None:
    response = await post(client, encoded(content_type), content_type)
    assert response.status_code == 200
    assert response.headers["content-type"] == content_type
    assert response.content == (b"" if content_type == PROTOBUF else b"{}")
    assert sorted(operation.name for operation in intake.stored.values()) == ["s0", "s1", "s2"]


@ENCODINGS
async def test_gzip_is_unpacked(client: httpx.AsyncClient, intake: MemoryIntake, content_type: str) -> None:
    body = gzip.compress(encoded(content_type))
    assert (await post(client, body, content_type, content_encoding="gzip")).status_code == 200
    assert len(intake.stored) == 3


async def test_content_types_and_encodings_are_compared_as_http_says(
    client: httpx.AsyncClient, intake: MemoryIntake
) -> None:
    response = await post(client, encoded(JSON), "Application/JSON; charset=utf-8", content_encoding=" Identity ")
    assert response.status_code == 200
    assert response.headers["content-type"] == JSON


@ENCODINGS
async def test_a_broken_span_is_counted_and_explained_and_the_others_are_stored(
    client: httpx.AsyncClient, intake: MemoryIntake, content_type: str
) -> None:
    broken = make_span("never over", end_ns=0, span_id=b"\x07" * 8)
    response = await post(client, encoded(content_type, *spans(2), broken), content_type)
    assert response.status_code == 200
    if content_type == PROTOBUF:
        partial = ExportTraceServiceResponse.FromString(response.content).partial_success
        rejected, message = partial.rejected_spans, partial.error_message
    else:
        partial = response.json()["partialSuccess"]
        rejected, message = int(partial["rejectedSpans"]), partial["errorMessage"]
    assert rejected == 1
    assert message == "1 of 3 spans were not stored: span 'never over' has no end time: it never ended."
    assert len(intake.stored) == 2


async def test_spans_older_than_what_is_kept_are_counted_as_rejected(tmp_path: Path) -> None:
    class Forgetful(MemoryIntake):
        def submit(self, operations: Sequence[Operation], *, redacted: bool = False) -> Future[WriteResult]:
            future: Future[WriteResult] = Future()
            future.set_result(WriteResult(len(operations) - 2, 0, 0, expired=2))
            return future

    transport = httpx.ASGITransport(app_for(Forgetful(), tmp_path))
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
        response = await post(client, encoded(JSON), JSON)
    assert response.json()["partialSuccess"]["rejectedSpans"] == "2"
    assert "retention_days" in response.json()["partialSuccess"]["errorMessage"]


async def test_sending_again_stores_nothing_twice(client: httpx.AsyncClient, intake: MemoryIntake) -> None:
    for content_type in (PROTOBUF, PROTOBUF, JSON):
        assert (await post(client, encoded(content_type), content_type)).status_code == 200
    assert len(intake.stored) == 3


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/x-www-form-urlencoded"])
async def test_another_content_type_is_415(client: httpx.AsyncClient, content_type: str) -> None:
    response = await post(client, encoded(PROTOBUF), content_type)
    assert response.status_code == 415
    assert response.headers["content-type"] == JSON
    assert said(response) == (3, f"Content-Type {content_type!r} is not understood. Send {PROTOBUF} or {JSON}.")


@ENCODINGS
async def test_another_content_encoding_is_415(client: httpx.AsyncClient, content_type: str) -> None:
    response = await post(client, encoded(content_type), content_type, content_encoding="br")
    assert response.status_code == 415
    assert response.headers["content-type"] == content_type
    assert "'br'" in said(response)[1]


@ENCODINGS
@pytest.mark.parametrize("body", [b"\x01\x02\x03 nonsense", b"[1, 2", b"\xff" * 100])
async def test_a_body_that_cannot_be_decoded_is_400(
    client: httpx.AsyncClient, intake: MemoryIntake, content_type: str, body: bytes
) -> None:
    response = await post(client, body, content_type)
    assert response.status_code == 400
    assert response.headers["content-type"] == content_type
    code, message = said(response)
    assert code == 3
    assert message.startswith("The request cannot be read: the body is not")
    assert intake.stored == {}


async def test_gzip_that_is_not_is_400(client: httpx.AsyncClient) -> None:
    response = await post(client, encoded(PROTOBUF), content_encoding="gzip")
    assert response.status_code == 400
    assert "not gzip" in said(response)[1]


async def test_a_body_beyond_the_limit_is_413_before_it_is_read(
    client: httpx.AsyncClient, intake: MemoryIntake
) -> None:
    response = await post(client, b"\x00" * (1 << 20) + b"\x00")
    assert response.status_code == 413
    assert said(response) == (
        3,
        "The body is larger than 1,048,576 bytes. Send smaller batches, or raise max_body_mb.",
    )


async def test_a_body_of_unknown_length_is_413_at_the_limit(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1 << 16
            yield b"\x00" * (1 << 16)

    response = await client.post("/v1/traces", content=endless(), headers={"content-type": PROTOBUF})
    assert response.status_code == 413
    assert sent < 3 << 20


async def test_a_gzip_bomb_is_413(client: httpx.AsyncClient) -> None:
    bomb = gzip.compress(b"\x00" * (200 << 20), 9)
    assert len(bomb) < 1 << 20
    response = await post(client, bomb, content_encoding="gzip")
    assert response.status_code == 413


@ENCODINGS
async def test_a_full_queue_is_503_with_the_time_to_wait(tmp_path: Path, content_type: str) -> None:
    class Full(MemoryIntake):
        def submit(self, operations: Sequence[Operation], *, redacted: bool = False) -> Future[WriteResult]:
            raise IntakeFull("7 operations are waiting for a commit.", retry_after_s=4)

    transport = httpx.ASGITransport(app_for(Full(), tmp_path))
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
        response = await post(client, encoded(content_type), content_type)
    assert (response.status_code, response.headers["retry-after"]) == (503, "4")
    assert said(response) == (14, "7 operations are waiting for a commit.")


async def test_a_store_that_cannot_write_is_503_and_nothing_is_acknowledged(
    client: httpx.AsyncClient, intake: MemoryIntake
) -> None:
    intake.failure = (0, StoreFull("the disk is full"))
    response = await post(client, encoded(PROTOBUF))
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert said(response) == (14, "Nothing was stored: the disk is full")
    intake.failure = None
    assert (await post(client, encoded(PROTOBUF))).status_code == 200


async def test_the_answer_waits_for_the_commit(tmp_path: Path) -> None:
    class Slow(MemoryIntake):
        def __init__(self) -> None:
            super().__init__()
            self.submitted = threading.Event()
            self.future: Future[WriteResult] = Future()

        def submit(self, operations: Sequence[Operation], *, redacted: bool = False) -> Future[WriteResult]:
            self.submitted.set()
            return self.future

    slow = Slow()
    transport = httpx.ASGITransport(app_for(slow, tmp_path))
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
        request = asyncio.create_task(post(client, encoded(PROTOBUF)))
        assert await asyncio.to_thread(slow.submitted.wait, 10)
        assert not request.done()
        slow.future.set_result(WriteResult(3, 0, 0))
        assert (await request).status_code == 200


async def test_what_came_and_what_was_refused_is_counted(intake: MemoryIntake, tmp_path: Path) -> None:
    metrics = SelfMetrics()
    transport = httpx.ASGITransport(app_for(intake, tmp_path, metrics))
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
        await post(client, encoded(PROTOBUF, *spans(2), make_span("bad", end_ns=0)))
        await post(client, b"nonsense")
    assert metrics.counters() == {
        "otlp_requests_total": 2,
        "otlp_spans_total": 3,
        "otlp_spans_rejected_total": 1,
        "otlp_refused_requests_total": 1,
    }


async def test_prompts_reach_the_intake_only_when_they_are_to_be_stored(tmp_path: Path) -> None:
    span = make_span("call", {"gen_ai.operation.name": "chat", "gen_ai.prompt": "what people wrote"})
    for keep in (False, True):
        intake = MemoryIntake(Redaction(keep_text=keep))
        transport = httpx.ASGITransport(app_for(intake, tmp_path))
        async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
            assert (await post(client, encoded(JSON, span), JSON)).status_code == 200
        (operation,) = intake.stored.values()
        assert ("what people wrote" in (operation.attributes or "")) is keep


async def test_the_door_is_in_the_api_description(client: httpx.AsyncClient) -> None:
    described = (await client.get("/openapi.json")).json()["paths"]["/v1/traces"]["post"]
    assert set(described["requestBody"]["content"]) == {PROTOBUF, JSON}
    assert {"200", "400", "413", "415", "503"} <= set(described["responses"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=300) | st.just(encoded(JSON)) | st.just(encoded(PROTOBUF)),
    cut=st.integers(0, 300),
    content_type=st.sampled_from([PROTOBUF, JSON]),
    encoding=st.sampled_from(["", "gzip", "identity"]),
    compress=st.booleans(),
)
async def test_no_body_makes_the_server_fail(
    client: httpx.AsyncClient, body: bytes, cut: int, content_type: str, encoding: str, compress: bool
) -> None:
    content = gzip.compress(body)[: cut or None] if compress else body
    response = await post(client, content, content_type, content_encoding=encoding)
    assert response.status_code in (200, 400)


def test_a_sender_that_hangs_up_in_the_middle_leaves_the_door_open(
    intake: MemoryIntake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(app_for(intake, tmp_path)) as url:
        address = urlsplit(url)
        for _ in range(3):
            connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
            connection.putrequest("POST", "/v1/traces")
            connection.putheader("Content-Type", PROTOBUF)
            connection.putheader("Content-Length", "1000")
            connection.endheaders(encoded(PROTOBUF)[:50])
            connection.close()
        for content_type in (PROTOBUF, JSON):
            response = httpx.post(
                f"{url}/v1/traces", content=encoded(content_type), headers={"content-type": content_type}
            )
            assert response.status_code == 200
    assert len(intake.stored) == 3
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_many_connections_at_once_lose_and_double_nothing(intake: MemoryIntake, tmp_path: Path) -> None:
    # Ids are made of the first half of the trace id, so these differ in it.
    bodies = [encoded(PROTOBUF, *spans(50, trace_id=number.to_bytes(8, "big") * 2)) for number in range(1, 41)]
    answers: list[int] = []

    def send(url: str, share: list[bytes]) -> None:
        with httpx.Client() as client:
            answers.extend(
                client.post(f"{url}/v1/traces", content=body, headers={"content-type": PROTOBUF}).status_code
                for body in share
            )

    with serving(app_for(intake, tmp_path)) as url:
        threads = [threading.Thread(target=send, args=(url, bodies[lane::4])) for lane in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [200] * 40
    assert len(intake.stored) == 2000
    assert sum(intake.batches) == 2000


def test_answers_are_json_that_scripts_can_read(intake: MemoryIntake, tmp_path: Path) -> None:
    with serving(app_for(intake, tmp_path)) as url:
        response = httpx.post(f"{url}/v1/traces", content=b"{", headers={"content-type": JSON})
    assert json.loads(response.content)["code"] == 3
