"""OTLP's own JSON: what it allows beyond what a protobuf library writes, and what it must survive."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.collection.otlp import UnreadableRequest
from ralex_core.collection.otlp_json import decode_json_traces
from ralex_core.model.operation import Operation
from tests.support.spans import SPAN_ID, START_NS, TRACE_ID


def span(**changes: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE_ID.hex(),
        "spanId": SPAN_ID.hex(),
        "name": "call",
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": str(START_NS + 10**9),
        **changes,
    }


def request(*spans: Any) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def read(one: dict[str, Any]) -> Operation:
    decoded = decode_json_traces(json.dumps(request(one)).encode())
    assert decoded.rejected == 0, decoded.reasons
    return decoded.operations[0]


def attribute(key: str, **value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def test_64_bit_integers_come_as_text_or_number() -> None:
    for start, end, tokens in (
        (str(START_NS), str(START_NS + 10**9), "12"),
        (START_NS, START_NS + 10**9, 12),
    ):
        operation = read(
            span(
                startTimeUnixNano=start,
                endTimeUnixNano=end,
                attributes=[
                    attribute("gen_ai.operation.name", stringValue="chat"),
                    attribute("gen_ai.usage.input_tokens", intValue=tokens),
                ],
            )
        )
        assert (operation.started_at, operation.duration_ms, operation.input_tokens) == (
            START_NS // 1000,
            1000,
            12,
        )


def test_ids_are_hex_in_either_case_and_stored_in_lower_case() -> None:
    operation = read(span(traceId=TRACE_ID.hex().upper(), spanId=SPAN_ID.hex().upper()))
    assert operation.operation_id == TRACE_ID.hex()[:16] + SPAN_ID.hex()
    assert operation.trace_id == TRACE_ID.hex()


@pytest.mark.parametrize("trace_id", ["W47/94gDgQPSabYzgT/GDA==", "xyz", "", None, 7, ["a"], "0" * 32])
def test_ids_that_are_not_hex_are_rejected(trace_id: Any) -> None:
    decoded = decode_json_traces(json.dumps(request(span(traceId=trace_id), span())).encode())
    assert (len(decoded.operations), decoded.rejected) == (1, 1)
    assert "32 hex digits" in decoded.reasons[0]


def test_enums_come_as_integers_or_names() -> None:
    assert read(span(kind="SPAN_KIND_SERVER")).kind == "api"
    assert read(span(kind=2)).kind == "api"
    assert read(span(kind="SPAN_KIND_NEW")).kind == "task"
    assert read(span(status={"code": "STATUS_CODE_ERROR"})).status == "error"
    assert read(span(status={"code": 2})).status == "error"
    assert read(span(status={"code": "STATUS_CODE_OK"})).status == "ok"


def test_unknown_fields_and_nulls_are_ignored() -> None:
    document = request(span(newField={"a": 1}, attributes=None, events=None, status=None, parentSpanId=None))
    document["resourceSpans"][0] |= {"resource": None, "schemaUrl": "https://example.org", "extra": [1]}
    document["another"] = True
    assert len(decode_json_traces(json.dumps(document).encode()).operations) == 1
    assert decode_json_traces(b'{"resourceSpans": null}').operations == []
    assert decode_json_traces(b"{}").operations == []


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"doubleValue": "NaN"}, None),
        ({"doubleValue": "1e3"}, 1000.0),
        ({"intValue": "99999999999999999999"}, "absent"),
        ({"intValue": "seven"}, "absent"),
        ({"intValue": 7.5}, "absent"),
        ({"stringValue": 7}, "absent"),
        ({"boolValue": "yes"}, "absent"),
        ({}, "absent"),
        (None, "absent"),
        ("text", "absent"),
        ({"newValue": 1, "intValue": 7}, 7),
        ({"bytesValue": "AAEC"}, "AAEC"),
        ({"arrayValue": {"values": [{"intValue": 1}, "broken", {"stringValue": "a"}]}}, [1, None]),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}, 3]}}, {"a": True}),
    ],
)
def test_values_are_read_or_absent(value: Any, stored: Any) -> None:
    operation = read(span(attributes=[{"key": "my.value", "value": value}]))
    found = json.loads(operation.attributes) if operation.attributes else {}
    assert found == ({} if stored == "absent" else {"my.value": stored})


def test_deep_values_are_followed_only_so_far() -> None:
    value: dict[str, Any] = {"intValue": 1}
    for _ in range(100):
        value = {"arrayValue": {"values": [value]}}
    attributes = [{"key": "my.value", "value": value}, {"key": "my.number", "value": {"intValue": 2}}]
    assert read(span(attributes=attributes)).attributes == '{"my.number":2}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"resourceSpans": {}}',
        b'{"resourceSpans": [1]}',
        b'{"resourceSpans": [{"scopeSpans": "x"}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}',
        b'{"resourceSpans": [{"resource": {"attributes": 7}}]}',
        b'\xff\xfe{"resourceSpans": []}',
        b"[" * 100_000,
    ],
)
def test_a_body_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableRequest):
        decode_json_traces(body)


def test_a_span_with_attributes_of_another_shape_is_rejected_alone() -> None:
    decoded = decode_json_traces(json.dumps(request(span(attributes={"a": 1}), span())).encode())
    assert (len(decoded.operations), decoded.rejected) == (1, 1)
    assert "attributes" in decoded.reasons[0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
any_values = st.dictionaries(
    st.sampled_from(["stringValue", "intValue", "doubleValue", "boolValue", "arrayValue", "kvlistValue", "bytesValue"]),
    json_values,
    max_size=2,
)
keys = st.sampled_from(
    [
        *("gen_ai.operation.name", "gen_ai.usage.input_tokens", "gen_ai.usage.cost", "session.id"),
        *("openinference.span.kind", "gen_ai.request.model", "attempt", "http.status_code", "x"),
        *("gen_ai.response.time_to_first_chunk", "langfuse.observation.completion_start_time", "success"),
        *("trace.metadata.openrouter.x", "server.address", "ralex.outcome", "ralex.value_usd", "error.type"),
    ]
)
attributes = st.lists(st.fixed_dictionaries({"key": keys, "value": any_values}), max_size=8)


@given(st.dictionaries(st.sampled_from(sorted(span())), json_values), attributes, attributes)
def test_any_span_is_read_or_rejected(changes: dict[str, Any], attributes: list[Any], resource: list[Any]) -> None:
    document = request(span(**{"attributes": attributes, "status": {"code": 2}, **changes}), span())
    document["resourceSpans"][0]["resource"] = {"attributes": resource}
    decoded = decode_json_traces(json.dumps(document).encode())
    assert len(decoded.operations) + decoded.rejected == 2
    for operation in decoded.operations:
        if operation.attributes is not None:
            json.loads(operation.attributes)


@given(json_values)
def test_any_document_is_read_or_refused(document: Any) -> None:
    with contextlib.suppress(UnreadableRequest):
        decode_json_traces(json.dumps(document).encode())
