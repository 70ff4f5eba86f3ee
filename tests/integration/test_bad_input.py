"""What cannot be true, at the doors of the real server: refused with a reason or taken for what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.logs import claude, logs_request
from tests.support.metrics import metrics_json, metrics_request, tokens
from tests.support.server import Server, running
from tests.support.spans import START_NS, json_bytes, make_request, make_span

pytestmark = pytest.mark.process
JSON, PROTOBUF = "application/json", "application/x-protobuf"
HOUR_NS = 3600 * 1_000_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("bad") / "home") as server:
        yield server


def rejected(server: Server, path: str, body: bytes, field: str) -> tuple[int, str]:
    """How many were rejected, and why, of a request that was answered with 200."""
    answer = server.request("POST", path, body, {"Content-Type": JSON})
    assert answer.status == 200, answer
    partial: dict[str, Any] = answer.json().get("partialSuccess", {})
    return int(partial.get(field, 0)), partial.get("errorMessage", "")


def stored(server: Server, operation_id: str) -> dict[str, Any]:
    answer = server.request("GET", f"/api/v1/operations/{operation_id}")
    assert answer.status == 200, answer
    return answer.json()["data"]["operation"]


def test_a_span_that_never_ended_or_ended_before_it_began_is_rejected_by_name(server: Server) -> None:
    spans = [make_span("endless", end_ns=0), make_span("backwards", duration_ms=-5, span_id=b"\x02" * 8)]
    count, why = rejected(server, "/v1/traces", json_bytes(make_request(*spans)), "rejectedSpans")
    assert count == 2
    assert "span 'endless' has no end time: it never ended" in why
    assert "span 'backwards' ends before it starts" in why


@pytest.mark.parametrize("start_ns", [1_790_000_000, 1_790_000_000_000, 5 * 10**18], ids=["seconds", "ms", "far"])
def test_a_time_in_the_wrong_unit_or_century_is_rejected(server: Server, start_ns: int) -> None:
    body = json_bytes(make_request(make_span("when", start_ns=start_ns)))
    count, why = rejected(server, "/v1/traces", body, "rejectedSpans")
    assert (count, "is not between the years 2000 and 2100" in why) == (1, True)


def test_a_clock_that_is_an_hour_ahead_is_believed(server: Server) -> None:
    span = make_span("ahead", start_ns=START_NS + HOUR_NS, trace_id=b"\x0a" * 16, span_id=b"\x0b" * 8)
    assert rejected(server, "/v1/traces", json_bytes(make_request(span)), "rejectedSpans")[0] == 0
    assert stored(server, "0a" * 8 + "0b" * 8)["name"] == "ahead"


def test_a_child_outside_its_parent_keeps_its_times_and_its_trace_can_be_drawn(server: Server) -> None:
    trace_id = b"\x0c" * 16
    parent = make_span("parent", trace_id=trace_id, span_id=b"\x01" * 8, duration_ms=100)
    early = make_span(
        "early",
        trace_id=trace_id,
        span_id=b"\x02" * 8,
        parent_span_id=b"\x01" * 8,
        start_ns=START_NS - HOUR_NS,
        duration_ms=50,
    )
    orphan = make_span("orphan", trace_id=trace_id, span_id=b"\x03" * 8, parent_span_id=b"\x09" * 8)
    own = make_span("itself", trace_id=trace_id, span_id=b"\x04" * 8, parent_span_id=b"\x04" * 8)
    body = json_bytes(make_request(parent, early, orphan, own))
    assert rejected(server, "/v1/traces", body, "rejectedSpans")[0] == 0
    identifier = "0c" * 8 + "01" * 8
    assert stored(server, identifier)["duration_ms"] == 100
    trace = server.request("GET", f"/api/v1/operations/{identifier}/trace")
    assert trace.status == 200
    assert all(name in trace.body.decode() for name in ("parent", "early", "orphan", "itself"))


def test_a_negative_duration_of_an_event_is_not_known(server: Server) -> None:
    usage = {"model": "claude-sonnet-4-5", "input_tokens": 5, "output_tokens": 5, "duration_ms": -30}
    request = logs_request(claude("api_request", usage), resource={"service.name": "claude-code"})
    answer = server.request("POST", "/v1/logs", request.SerializeToString(), {"Content-Type": PROTOBUF})
    assert (answer.status, answer.body) == (200, b"")


def test_negative_durations_and_impossible_times_of_the_native_door_are_told_per_record(server: Server) -> None:
    answer = server.send(
        [
            {"kind": "task", "name": "a", "duration_ms": -1},
            {"kind": "task", "name": "b", "started_at": 1_790_000_000},
            {"kind": "task", "name": "c"},
        ]
    )
    told = answer.json()["data"]
    assert told["accepted"] == 1
    reasons = {item["index"]: item["reason"] for item in told["rejected"]}
    assert reasons[0].startswith("duration_ms: must be between 0 and")
    assert reasons[1].startswith("started_at: 1790000000 is not in microseconds")


def test_malformed_metrics_are_told_point_by_point_and_do_not_hold_up_others(server: Server) -> None:
    document = metrics_json(metrics_request(tokens("input", -5), tokens("output", 7), tokens("input", 5, start_ns=1)))
    metrics = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    metrics.append({"name": "claude_code.token.usage", "sum": {"dataPoints": [{"asDouble": "many"}]}})
    before = server.status()["output_tokens"]
    count, why = rejected(server, "/v1/metrics", json.dumps(document).encode(), "rejectedDataPoints")
    assert count == 3
    assert "cannot be an amount that was used" in why
    assert server.status()["output_tokens"] == before + 7


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
@pytest.mark.parametrize("body", [b"{", b"[]", b'{"resourceSpans": 1, "resourceLogs": 1, "resourceMetrics": 1}'])
def test_what_is_no_request_is_400_with_a_sentence(server: Server, path: str, body: bytes) -> None:
    answer = server.request("POST", path, body, {"Content-Type": JSON})
    assert answer.status == 400
    assert answer.json()["message"].startswith("The request cannot be read: ")
