"""Sinks deliver each operation, keep what cannot be delivered now, and say what was refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from ralex_core.collection import tables
from ralex_core.collection.sinks import Batch, HttpSink, InProcessSink
from ralex_core.collection.spool import Spool
from ralex_core.collection.transport import Transport, interpret
from ralex_core.errors import IntakeFull
from ralex_core.model.operation import Operation
from tests.support.receiver import WITHIN_S, Receiver, Reply, Request, take_all

NOW_US = 1_800_000_000_000_000


def batch(*names: str) -> Batch:
    rows = [{"operation_id": f"id of {name}", "name": name, "started_at": NOW_US} for name in names]
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    return Batch(b"".join(lines), len(lines))


def in_a_table(*names: str) -> Batch:
    """The same operations as rows."""
    rows = [[f"id of {name}", name, NOW_US] for name in names]
    start = tables.head({"kind": "db"}, "", ["operation_id", "name", "started_at"])
    return Batch(start + json.dumps(rows).encode() + b"}\n", len(rows))


# Over HTTP


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def http_sink(receiver: Receiver, directory: Path | None, token: str | None = None, **options: Any) -> HttpSink:
    spool = Spool(directory, **options)
    return HttpSink(receiver.url, token, spool=spool, retry_base_s=0.01, retry_max_s=0.02, timeout_s=5)


def rejected_lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "rejected.ndjson").read_text().splitlines()]


def test_operations_arrive_as_newline_delimited_json(receiver: Receiver, tmp_path: Path) -> None:
    sink = http_sink(receiver, tmp_path, token="secret-token-of-the-monitor")
    sink.submit(batch("a", "b"))
    assert sink.flush(WITHIN_S)
    (request,) = receiver.requests
    assert request.path == "/api/v1/operations"
    assert request.headers["content-type"] == "application/x-ndjson"
    assert request.headers["x-ralex-door"] == "sdk"
    assert request.headers["authorization"] == "Bearer secret-token-of-the-monitor"
    assert [line["name"] for line in request.lines] == ["a", "b"]
    assert (sink.counts().delivered, sink.counts().pending) == (2, 0)
    sink.close(1)
    assert list(tmp_path.iterdir()) == []


def test_one_connection_is_kept_for_many_batches(receiver: Receiver, tmp_path: Path) -> None:
    sink = http_sink(receiver, tmp_path)
    for number in range(5):
        sink.submit(batch(f"op {number}"))
        assert sink.flush(WITHIN_S)
    assert len(receiver.connections_seen) == 1
    sink.close(1)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
def test_a_server_in_trouble_gets_the_batch_again(receiver: Receiver, tmp_path: Path, status: int) -> None:
    receiver.script = lambda request: Reply(status) if len(receiver.requests) < 3 else take_all(request)
    sink = http_sink(receiver, tmp_path)
    sink.submit(batch("a"))
    receiver.wait_for(1)
    assert len(receiver.requests) == 4
    assert sink.flush(WITHIN_S)
    assert (sink.counts().delivered, sink.counts().rejected, sink.counts().dropped) == (1, 0, 0)
    sink.close(1)


def test_a_connection_cut_in_mid_answer_is_tried_again(receiver: Receiver, tmp_path: Path) -> None:
    receiver.script = lambda request: Reply(hang_up=True) if len(receiver.requests) < 2 else take_all(request)
    sink = http_sink(receiver, tmp_path)
    sink.submit(batch("a"))
    receiver.wait_for(1)
    assert sink.flush(WITHIN_S)
    sink.close(1)


def test_a_server_that_dies_and_comes_back_gets_everything(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.start()
    sink = http_sink(receiver, tmp_path)
    sink.submit(batch("before"))
    assert sink.flush(WITHIN_S)
    receiver.stop()
    for number in range(20):
        sink.submit(batch(f"meanwhile {number}"))
    assert not sink.flush(WITHIN_S)
    assert sink.counts().pending == 20
    receiver.start()
    receiver.wait_for(21)
    assert sink.flush(WITHIN_S)
    assert receiver.names()[0] == "before"
    assert set(receiver.names()[1:]) == {f"meanwhile {number}" for number in range(20)}
    sink.close(1)
    receiver.stop()


def test_a_batch_the_server_refuses_is_kept_with_the_reason_and_stops_nothing(
    receiver: Receiver, tmp_path: Path
) -> None:
    refusal = Reply(400, {"error": {"code": "invalid", "message": "nothing in it is an operation"}})
    receiver.script = lambda request: refusal if request.lines[0]["name"] == "bad" else take_all(request)
    sink = http_sink(receiver, tmp_path)
    sink.submit(batch("bad"))
    assert sink.flush(WITHIN_S)
    sink.submit(batch("good"))
    assert sink.flush(WITHIN_S)
    assert receiver.names() == ["good"]
    assert sink.counts().rejected == 1
    (kept,) = rejected_lines(tmp_path)
    assert kept["reason"] == "nothing in it is an operation"
    assert kept["operation"]["name"] == "bad"
    sink.close(1)


@pytest.mark.parametrize("batch", [batch, in_a_table])
def test_lines_the_server_refuses_are_kept_and_the_others_delivered(
    receiver: Receiver, tmp_path: Path, batch: Callable[..., Batch]
) -> None:
    def refuse_second(request: Request) -> Reply:
        rejected = [{"index": 1, "reason": "kind: unknown"}]
        return Reply(200, {"data": {"accepted": 2, "duplicates": 0, "rejected": rejected}})

    receiver.script = refuse_second
    sink = http_sink(receiver, tmp_path)
    sink.submit(batch("a", "b", "c"))
    assert sink.flush(WITHIN_S)
    assert receiver.names() == ["a", "c"]
    assert (sink.counts().delivered, sink.counts().rejected) == (2, 1)
    assert [line["operation"]["name"] for line in rejected_lines(tmp_path)] == ["b"]
    sink.close(1)


def test_refused_lines_the_server_does_not_name_are_counted_too(receiver: Receiver, tmp_path: Path) -> None:
    def refuse_all_but_one(request: Request) -> Reply:
        rejected = [{"index": 0, "reason": "kind: unknown"}]
        return Reply(200, {"data": {"accepted": 1, "duplicates": 0, "rejected": rejected}})

    receiver.script = refuse_all_but_one
    sink = http_sink(receiver, tmp_path)
    sink.submit(batch("a", "b", "c"))
    assert sink.flush(WITHIN_S)
    assert (sink.counts().delivered, sink.counts().rejected) == (1, 2)
    sink.close(1)


@pytest.mark.parametrize(
    "reply",
    [Reply(401), Reply(403), Reply(404), Reply(301), Reply(200, b"<html>", {"Content-Type": "text/html"})],
    ids=["no token", "wrong token", "other path", "moved", "another program's page"],
)
def test_a_wrong_address_or_token_keeps_everything_until_put_right(
    receiver: Receiver, tmp_path: Path, reply: Reply
) -> None:
    receiver.script = lambda request: reply
    sink = http_sink(receiver, tmp_path)
    sink.submit(batch("a"))
    assert not sink.flush(WITHIN_S)
    assert (sink.counts().pending, sink.counts().rejected) == (1, 0)
    receiver.stored.clear()
    receiver.script = take_all
    receiver.wait_for(1)
    assert sink.flush(WITHIN_S)
    sink.close(1)


@pytest.mark.parametrize("batch", [batch, in_a_table])
def test_a_batch_too_large_for_the_server_is_halved_until_it_fits(
    receiver: Receiver, tmp_path: Path, batch: Callable[..., Batch]
) -> None:
    receiver.script = lambda request: Reply(413) if len(request.lines) > 3 else take_all(request)
    sink = http_sink(receiver, tmp_path)
    sink.submit(batch(*(f"op {number}" for number in range(20))))
    assert sink.flush(WITHIN_S)
    assert receiver.names() == [f"op {number}" for number in range(20)]
    sink.close(1)


def test_a_single_operation_too_large_is_rejected(receiver: Receiver, tmp_path: Path) -> None:
    receiver.script = lambda request: Reply(413)
    sink = http_sink(receiver, tmp_path)
    sink.submit(batch("huge"))
    assert sink.flush(WITHIN_S)
    assert sink.counts().rejected == 1
    sink.close(1)


def test_retry_after_is_honoured(receiver: Receiver, tmp_path: Path) -> None:
    receiver.script = lambda request: Reply(503, headers={"Retry-After": "3600"})
    sink = http_sink(receiver, tmp_path)
    sink.submit(batch("a"))
    receiver.wait_until(lambda: len(receiver.requests) == 1)
    sink.submit(batch("b"))
    sink.close(1)
    assert len(receiver.requests) == 1, "no second attempt within the hour"


def test_flushing_tries_at_once_whatever_the_back_off(receiver: Receiver, tmp_path: Path) -> None:
    receiver.script = lambda request: Reply(503, headers={"Retry-After": "3600"})
    sink = http_sink(receiver, tmp_path)
    sink.submit(batch("a"))
    receiver.wait_until(lambda: len(receiver.requests) == 1)
    receiver.script = take_all
    assert sink.flush(WITHIN_S)
    assert receiver.names() == ["a"]
    sink.close(1)


def test_what_is_left_at_the_end_is_delivered_by_the_next_sink(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.start()
    receiver.stop()
    sink = http_sink(receiver, tmp_path)
    sink.submit(batch("left"))
    assert not sink.flush(WITHIN_S)
    sink.close(1)
    receiver.start()
    following = http_sink(receiver, tmp_path)
    following.submit(batch("new"))
    receiver.wait_for(2)
    assert following.flush(WITHIN_S)
    assert set(receiver.names()) == {"left", "new"}
    following.close(1)
    assert list(tmp_path.iterdir()) == []
    receiver.stop()


def test_without_a_disk_it_still_delivers(receiver: Receiver) -> None:
    sink = http_sink(receiver, None)
    sink.submit(batch("a"))
    assert sink.flush(WITHIN_S)
    assert receiver.names() == ["a"]
    sink.close(1)


def test_a_server_that_is_away_for_long_costs_the_oldest_and_counts_them(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.start()
    receiver.stop()
    sink = http_sink(receiver, tmp_path, max_bytes=2000)
    for number in range(200):
        sink.submit(batch(f"op {number}"))
    counts = sink.counts()
    assert counts.dropped > 0
    assert counts.dropped + counts.pending == 200
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.ndjson")) <= 2000
    receiver.start()
    receiver.wait_until(lambda: "op 199" in receiver.names())
    assert sink.flush(WITHIN_S)
    assert sink.counts().delivered + sink.counts().dropped == 200
    sink.close(1)
    receiver.stop()


@pytest.mark.parametrize("endpoint", ["localhost:8000", "ftp://x", "http://", ""])
def test_an_address_must_be_an_http_url(endpoint: str) -> None:
    with pytest.raises(ValueError, match="must look like"):
        Transport(endpoint, None, timeout_s=1)


def test_a_garbled_answer_is_taken_by_its_status() -> None:
    assert interpret(200, b"\xff not json", None).meaning == "taken"
    assert interpret(200, b'{"data": {"rejected": [{"index": "x"}]}}', None).rejected == ()
    assert interpret(500, b"[1]", None).meaning == "later"
    assert interpret(422, b'{"error": "text"}', None).message == "HTTP 422"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("-3", 0.0), ("999999", 300.0), ("soon", None), ("nan", None), (None, None)],
)
def test_retry_after_is_read_in_seconds_within_reason(header: str | None, seconds: float | None) -> None:
    assert interpret(503, b"", header).retry_after_s == seconds


def test_retry_after_may_be_a_date() -> None:
    assert interpret(503, b"", "Wed, 21 Oct 2015 07:28:00 GMT").retry_after_s == 0.0
    assert interpret(503, b"", "Wed, 21 Oct 2099 07:28:00 GMT").retry_after_s == 300.0


# In process


def test_in_process_operations_arrive_as_operations() -> None:
    taken: list[Operation] = []
    sink = InProcessSink(taken.extend)
    sink.submit(batch("a", "b"))
    assert [(op.name, op.door, op.operation_id) for op in taken] == [("a", "sdk", "id of a"), ("b", "sdk", "id of b")]
    assert sink.counts().delivered == 2


def test_a_full_intake_is_asked_again_and_nothing_is_lost_or_doubled() -> None:
    taken: list[str] = []
    full = [True]

    def receive(operations: list[Operation]) -> None:
        if full[0]:
            raise IntakeFull("full")
        taken.extend(op.name for op in operations)

    sink = InProcessSink(receive)
    sink.submit(batch("a"))
    sink.submit(batch("b"))
    assert not sink.flush(1)
    assert (sink.counts().pending, sink.counts().delivered) == (2, 0)
    full[0] = False
    sink.poll()
    assert taken == ["a", "b"]
    assert (sink.counts().pending, sink.counts().delivered) == (0, 2)


def test_operations_whose_commit_fails_are_offered_again() -> None:
    futures: list[Future[None]] = []

    def receive(operations: list[Operation]) -> Future[None]:
        futures.append(Future())
        return futures[-1]

    sink = InProcessSink(receive)
    sink.submit(batch("a"))
    assert sink.counts().delivered == 0, "not before it is committed"
    futures[0].set_exception(OSError("disk full"))
    assert sink.counts().pending == 1
    sink.poll()
    futures[1].set_result(None)
    assert (sink.counts().pending, sink.counts().delivered) == (0, 1)


def test_an_intake_that_stays_full_costs_the_oldest_and_counts_them() -> None:
    def receive(operations: list[Operation]) -> None:
        raise IntakeFull("full")

    sink = InProcessSink(receive, pending_operations=10)
    for number in range(30):
        sink.submit(batch(f"op {number}"))
    counts = sink.counts()
    assert counts.dropped + counts.pending == 30
    assert counts.pending <= 10
    sink.close(1)
    assert sink.counts().dropped == 30
