"""The second process that decodes spans: it answers as this process would, and nothing is lost when it goes."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psutil
import pytest

from ralex_core.collection.decoder_process import operation_of_row, row_of
from ralex_core.collection.otlp import UnreadableRequest, decode_traces
from ralex_core.collection.preparation import Preparation
from ralex_core.collection.request_body import BodyProblem
from ralex_core.collection.second_decoder import BUSY_SHARE, SecondDecoder
from ralex_core.config import Settings
from ralex_core.pricing.book import PriceBook
from ralex_core.selfmetrics import SelfMetrics
from tests.support.operations import make_operation
from tests.support.spans import json_bytes, make_request, make_span

DEADLINE_S = 60.0


def call(number: int) -> object:
    return make_span(
        "chat gpt-4o",
        span_id=(number + 1).to_bytes(8, "big"),
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 1000 + number,
            "gen_ai.usage.output_tokens": 10,
            "gen_ai.usage.cost": 0.0026,
            "note": "Bearer abcdefghijklmnopqrstuvwxyz012345",
        },
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"), max_body_mb=1)


@pytest.fixture
def running(settings: Settings) -> Iterator[SecondDecoder]:
    """A decoder whose process runs."""
    metrics = SelfMetrics()
    second = SecondDecoder(settings, PriceBook(settings), metrics)
    keeper = threading.Thread(target=second.start)
    keeper.start()
    deadline = threading.Event()
    for _ in range(int(DEADLINE_S / 0.05)):
        if metrics.counters().get("second_decoder_starts_total"):
            break
        deadline.wait(0.05)
    yield second
    second.close()
    keeper.join(DEADLINE_S)
    assert not keeper.is_alive()


def child() -> psutil.Process:
    (found,) = [
        process
        for process in psutil.Process().children()
        if "ralex_core.collection.decoder_process" in process.cmdline()
    ]
    return found


def test_it_answers_what_this_process_would_have_stored(running: SecondDecoder, settings: Settings) -> None:
    request = make_request(*(call(number) for number in range(50)))
    here = Preparation(PriceBook(settings), keep_content=False)(decode_traces(request.SerializeToString()).operations)
    assert here[0].computed_usd is not None
    assert "Bearer" not in (here[0].attributes or "")
    for json, body in ((False, request.SerializeToString()), (True, json_bytes(request))):
        plain = running.decoded(body, json=json, encoding="identity")
        packed = running.decoded(gzip.compress(body), json=json, encoding="gzip")
        assert plain is not None
        assert packed is not None
        assert plain.operations == packed.operations == here
        assert all(type(operation) is type(here[0]) for operation in plain.operations)


def test_spans_that_cannot_be_taken_and_bodies_that_cannot_be_read_are_told_apart(running: SecondDecoder) -> None:
    body = make_request(call(1), make_span("no end", end_ns=0)).SerializeToString()
    decoded = running.decoded(body, json=False, encoding="identity")
    assert decoded is not None
    assert (len(decoded.operations), decoded.rejected) == (1, 1)
    assert "never ended" in decoded.reasons[0]
    with pytest.raises(UnreadableRequest, match="not an ExportTraceServiceRequest"):
        running.decoded(b"\xff\xff\xff", json=False, encoding="identity")
    with pytest.raises(BodyProblem) as problem:
        running.decoded(gzip.compress(bytes(2 << 20)), json=False, encoding="gzip")
    assert problem.value.status == 413
    assert running.decoded(body, json=False, encoding="identity") == decoded


def test_answers_reach_who_asked_when_many_ask_at_once(running: SecondDecoder) -> None:
    def ask(number: int) -> list[str]:
        body = make_request(*(call(number * 100 + offset) for offset in range(number % 7 + 1))).SerializeToString()
        expected = [operation.operation_id for operation in decode_traces(body).operations]
        decoded = running.decoded(body, json=False, encoding="identity")
        assert decoded is not None
        return expected if [operation.operation_id for operation in decoded.operations] == expected else []

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))


def test_whoever_asks_decodes_alone_when_the_process_is_killed(running: SecondDecoder) -> None:
    body = make_request(call(1)).SerializeToString()
    assert running.decoded(body, json=False, encoding="identity") is not None
    process = child()
    process.kill()
    process.wait(DEADLINE_S)
    assert running.decoded(body, json=False, encoding="identity") is None


def test_it_starts_when_decoding_takes_much_and_only_then(settings: Settings) -> None:
    metrics = SelfMetrics()
    second = SecondDecoder(settings, PriceBook(settings), metrics)
    try:
        second.took(BUSY_SHARE / 2)
        assert not [thread for thread in threading.enumerate() if thread.name == "second-decoder"]
        second.took(BUSY_SHARE)
        (starting,) = [thread for thread in threading.enumerate() if thread.name == "second-decoder"]
    finally:
        second.close()
    starting.join(DEADLINE_S)
    assert not starting.is_alive()
    assert second.decoded(b"", json=False, encoding="identity") is None


def test_a_process_that_hangs_is_ended_and_who_waits_decodes_alone(running: SecondDecoder) -> None:
    body = make_request(call(1)).SerializeToString()
    process = child()
    process.suspend()
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.append(running.decoded(body, json=False, encoding="identity")))
    asking.start()
    running.close()
    asking.join(DEADLINE_S)
    assert answers == [None]


@pytest.mark.parametrize("money", [None, Decimal("0.000000000000000001"), Decimal("12345678901234567890.12")])
def test_an_operation_survives_as_a_row(money: Decimal | None) -> None:
    operation = make_operation(reported_usd=money, value_usd=money)
    back = operation_of_row(row_of(operation))
    assert back == operation
    assert str(back.value_usd) == str(money)
