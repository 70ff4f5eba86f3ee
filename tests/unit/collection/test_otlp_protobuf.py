"""Reading protobuf only as deep as needed gives what reading all of it gives."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from ralex_core.collection.otlp import UnreadableRequest, decode_traces
from ralex_core.collection.otlp_wire import read_request
from ralex_core.collection.redaction import Redaction
from tests.support.spans import any_value, make_request, make_span

WITH_TEXT = Redaction(keep_text=True)
values = st.one_of(
    st.text(max_size=200),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.binary(max_size=20),
    st.lists(st.text(max_size=5), max_size=3),
)


def stored(attributes: dict[str, Any]) -> dict[str, Any]:
    request = make_request(make_span("x", attributes)).SerializeToString()
    (operation,) = decode_traces(request, redaction=WITH_TEXT).operations
    return json.loads(operation.attributes) if operation.attributes else {}


def may_be_stored(key: str, value: Any) -> bool:
    alone = orjson.dumps({key: value}).decode()
    return WITH_TEXT.attributes(alone) == alone


@given(st.dictionaries(st.text(min_size=1, max_size=150).map("my.".__add__), values, max_size=5))
def test_every_value_arrives_as_it_was_sent(attributes: dict[str, Any]) -> None:
    sent = {
        key: value
        for key, value in attributes.items()
        if value != "" and not isinstance(value, bytes) and may_be_stored(key, value)
    }
    found = stored(sent)
    assert found == sent or json.loads(json.dumps(sent)) == found


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 200, 2000])
@pytest.mark.parametrize("key_size", [1, 100, 126, 127, 128, 199])
def test_lengths_around_the_limits_of_the_short_way_are_read_alike(size: int, key_size: int) -> None:
    key, text = "k" * key_size, "ü" * (size // 2) + "v" * (size % 2)
    assert stored({key: text}) == ({key: text} if text else {})


@pytest.mark.parametrize("number", [0, 1, 127, 128, 2**31, 2**34, 2**35 - 1, 2**35, 2**63 - 1, -1, -(2**63)])
def test_integers_around_the_limits_of_the_short_way_are_read_alike(number: int) -> None:
    assert stored({"my.number": number}) == {"my.number": number}


def raw_attribute(encoded: bytes) -> bytes:
    """A request with one span whose only attribute is these bytes."""
    request = make_request(make_span("x", {"placeholder": "y" * 40}))
    whole = request.SerializeToString()
    original = KeyValue(key="placeholder", value=any_value("y" * 40)).SerializeToString()
    encoded = encoded.ljust(len(original), b"\x00") if len(encoded) < len(original) else encoded
    assert len(encoded) == len(original)
    return whole.replace(original, encoded)


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x0a\x03abc\x12\x33\x0a\x31" + b"\xff" * 49,  # text that is not UTF-8
        b"\x0a\x7fabc\x12\x02\x0a\x00" + b"\x01" * 47,  # a key longer than what is there
        b"\xff" * 55,
        b"\x0a\x03abc\x12\x02\x18\xff" + b"\xff" * 47,  # a number that never ends
    ],
)
def test_a_broken_attribute_makes_the_request_unreadable(encoded: bytes) -> None:
    with pytest.raises(UnreadableRequest, match="not an ExportTraceServiceRequest"):
        decode_traces(raw_attribute(encoded[:55].ljust(55, b"\xff")))


@pytest.mark.parametrize("body", [b"\x00", b"garbage", b"\x0a\x05ab", b"{}", b'{"resourceSpans": []}'])
def test_bytes_that_are_no_request_are_refused(body: bytes) -> None:
    with pytest.raises(UnreadableRequest):
        decode_traces(body)


@given(st.binary(max_size=400))
def test_random_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(UnreadableRequest):
        decode_traces(body)


@given(st.integers(0, 10**9), st.binary(min_size=1, max_size=8), st.integers(0, 600))
def test_a_damaged_request_is_read_or_refused(_: int, damage: bytes, position: int) -> None:
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 900, "gen_ai.usage.cost": 0.1}
    body = make_request(make_span("x", attributes, status=2, message="m"), scope="s").SerializeToString()
    position %= len(body)
    with contextlib.suppress(UnreadableRequest):
        decode_traces(body[:position] + damage + body[position + len(damage) :])


def test_unknown_fields_are_ignored() -> None:
    body = make_request(make_span("x")).SerializeToString() + b"\xd2\x0f\x03new"
    assert [operation.name for operation in decode_traces(body).operations] == ["x"]


def test_the_wire_reading_has_the_field_numbers_of_the_protocol() -> None:
    span = make_span("n", {"k": 1}, parent_span_id=b"12345678", kind=3, status=2, message="m", events=[("e", 1, {})])
    request = make_request(span, resource={"a": "b"}, scope="c")
    (resource_spans,) = read_request(request.SerializeToString()).resource_spans
    (scope_spans,) = resource_spans.scope_spans
    (found,) = scope_spans.spans
    assert resource_spans.resource == request.resource_spans[0].resource.SerializeToString()
    assert scope_spans.scope == request.resource_spans[0].scope_spans[0].scope.SerializeToString()
    assert (found.trace_id, found.span_id, found.parent_span_id) == (span.trace_id, span.span_id, b"12345678")
    assert (found.name, found.kind) == ("n", 3)
    assert found.start_time_unix_nano == span.start_time_unix_nano
    assert found.end_time_unix_nano == span.end_time_unix_nano
    assert list(found.attributes) == [span.attributes[0].SerializeToString()]
    assert list(found.events) == [span.events[0].SerializeToString()]
    assert found.status == span.status.SerializeToString()
