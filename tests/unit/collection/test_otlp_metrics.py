"""Which data points are taken, which say nothing that is used, and which cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.collection.metric_rules import METRICS
from ralex_core.collection.otlp import UnreadableRequest
from ralex_core.collection.otlp_metrics import DecodedMetrics, decode_json_metrics, decode_metrics
from tests.support.metrics import (
    AT_NS,
    CUMULATIVE,
    MINUTE_NS,
    Sum,
    dollars,
    metrics_json,
    metrics_request,
    tokens,
)


def decoded(*points: Sum, **around: Any) -> DecodedMetrics:
    """What both encodings of the request give; they must not differ."""
    request = metrics_request(*points, **around)
    found = decode_metrics(request.SerializeToString())
    assert decode_json_metrics(json.dumps(metrics_json(request)).encode()) == found
    return found


@pytest.mark.parametrize("shape", ["sum", "histogram", "exponential_histogram"])
def test_counters_and_the_sums_of_histograms_are_taken(shape: str) -> None:
    (point,) = decoded(Sum("codex.turn.token_usage", {"token_type": "input"}, 1200, shape=shape, count=3)).points
    assert (point.metric, point.value, point.cumulative) == ("codex.turn.token_usage", 1200, False)
    assert (point.start_ns, point.time_ns) == (AT_NS, AT_NS + MINUTE_NS)
    assert point.source.resource["service.name"] == "claude-code"


def test_other_metrics_and_levels_are_counted_and_not_used() -> None:
    found = decoded(
        Sum("claude_code.lines_of_code.count", {"type": "added"}, 12),
        Sum("claude_code.token.usage", {"type": "input"}, 5, shape="gauge"),
        Sum("claude_code.token.usage", {"type": "input"}, 5, shape="summary"),
        Sum("process.cpu.time", {}, 5, shape="histogram"),
        tokens("input", 7),
    )
    assert (len(found.points), found.unused, found.rejected, found.received) == (1, 4, 0, 5)


def test_the_second_counter_of_the_same_tokens_is_not_used() -> None:
    point = Sum("gen_ai.client.token.usage", {"gen_ai.token.type": "input"}, 5, shape="histogram")
    assert decoded(point, resource={"service.name": "gemini-cli"}).points == []
    assert len(decoded(point, resource={"service.name": "my-agent"}).points) == 1


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (tokens("input", -5), "has the value -5, which cannot be an amount that was used"),
        (tokens("input", float("nan")), "has the value nan"),
        (tokens("input", float("inf")), "has the value inf"),
        (tokens("input", 1e18), "has the value 1e+18"),
        (tokens("input", 5, time_ns=0), "has a point without a time"),
        (tokens("input", 5, time_ns=1_790_000_000, start_ns=0), "outside the years 2000 to 2100"),
        (tokens("input", 5, time_ns=2**63), "outside the years 2000 to 2100"),
        (tokens("input", 5, start_ns=1), "outside the years 2000 to 2100"),
        (tokens("input", 5, start_ns=AT_NS + 2 * MINUTE_NS), "has a point that ends before it starts"),
        (tokens("input", 5, temporality=0), "does not say whether it is delta or cumulative"),
        (tokens("input", 5, monotonic=False), "is not monotonic"),
    ],
    ids=["negative", "nan", "infinite", "huge", "timeless", "seconds", "future", "past", "backwards", "vague", "level"],
)
def test_a_point_that_cannot_be_is_rejected_with_the_reason(point: Sum, reason: str) -> None:
    found = decoded(point, tokens("output", 7))
    assert (found.rejected, len(found.points), found.received) == (1, 1, 2)
    assert reason in found.reasons[0]
    assert "'claude_code.token.usage'" in found.reasons[0]


def test_a_point_that_says_it_has_no_value_is_not_used() -> None:
    request = metrics_request(tokens("input", 5))
    request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].flags = 1
    found = decode_metrics(request.SerializeToString())
    assert (found.points, found.unused) == ([], 1)


def test_a_histogram_without_a_sum_is_not_used() -> None:
    request = metrics_request(Sum("codex.turn.token_usage", {"token_type": "input"}, 5, shape="histogram"))
    request.resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points[0].ClearField("sum")
    found = decode_metrics(request.SerializeToString())
    assert (found.points, found.unused) == ([], 1)


def test_json_takes_integers_as_text_enums_as_names_and_passes_over_exemplars() -> None:
    document = metrics_json(metrics_request(tokens("input", 5, temporality=CUMULATIVE)))
    data = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]
    data["aggregationTemporality"] = "AGGREGATION_TEMPORALITY_CUMULATIVE"
    point = data["dataPoints"][0]
    del point["asDouble"]
    point["asInt"] = "5"
    point["exemplars"] = [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "xyz", "asInt": "1"}]
    (found,) = decode_json_metrics(json.dumps(document).encode()).points
    assert (found.value, found.cumulative) == (5, True)


def test_a_broken_json_metric_rejects_its_points_and_the_others_are_taken() -> None:
    document = metrics_json(metrics_request(tokens("input", 5), dollars(0.1)))
    metrics = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    metrics[0]["sum"]["dataPoints"] = [{"asInt": "five"}, {"asInt": "six"}]
    metrics.append({"name": 7})
    found = decode_json_metrics(json.dumps(document).encode())
    assert (found.rejected, len(found.points)) == (3, 1)


@pytest.mark.parametrize(
    "body", [b"[]", b"nonsense", b'{"resourceMetrics": 7}', b'{"resourceMetrics": [{"scopeMetrics": [1]}]}']
)
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableRequest, match="the body is not"):
        decode_json_metrics(body)


def test_bytes_that_are_no_request_are_refused() -> None:
    with pytest.raises(UnreadableRequest, match="not an ExportMetricsServiceRequest"):
        decode_metrics(b"\x01\x02\x03 nonsense")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(body: bytes) -> None:
    for decode in (decode_metrics, decode_json_metrics):
        try:
            decode(body)
        except UnreadableRequest:
            continue


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from(sorted(METRICS)),
    value=st.floats(),
    start_ns=st.integers(0, 2**64 - 1),
    time_ns=st.integers(0, 2**64 - 1),
    temporality=st.integers(0, 2),
    shape=st.sampled_from(["sum", "histogram", "exponential_histogram", "gauge", "summary"]),
)
def test_every_point_is_taken_passed_over_or_rejected(
    name: str, value: float, start_ns: int, time_ns: int, temporality: int, shape: str
) -> None:
    point = Sum(name, {"type": "input"}, value, start_ns, time_ns, temporality, shape)
    found = decode_metrics(metrics_request(point).SerializeToString())
    assert len(found.points) + found.rejected + found.unused == 1
    assert all(taken.value >= 0 for taken in found.points)
