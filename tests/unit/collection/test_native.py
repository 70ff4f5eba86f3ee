"""The native JSON format: what is taken, exactly, and what is refused, with a reason that names the field."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.collection.native import JSON, NDJSON, parse_operations
from ralex_core.model.operation import Operation, Pricing

NOW_US = 1_800_000_000_000_000


def parse(value: Any, content_type: str = JSON, door: str = "api") -> tuple[list[Operation], list[tuple[int, str]]]:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse_operations(body, content_type, NOW_US, door)


def one(**fields: Any) -> Operation:
    operations, rejected = parse({"name": "x", **fields})
    assert rejected == []
    (operation,) = operations
    return operation


def reason(**fields: Any) -> str:
    operations, rejected = parse({"name": "x", **fields})
    assert operations == []
    ((index, why),) = rejected
    assert index == 0
    return why


def test_a_name_is_enough() -> None:
    operation = one()
    assert operation._replace(operation_id="") == Operation("", "task", "x", NOW_US, door="api")
    assert len(operation.operation_id) == 32
    assert operation.operation_id != one().operation_id


def test_every_field_a_sender_may_fill_arrives() -> None:
    sent: dict[str, Any] = {
        "operation_id": "id",
        "kind": "llm",
        "started_at": "2026-11-05T12:00:00.000001Z",
        "duration_ms": 12.5,
        "status": "error",
        "trace_id": "t",
        "span_id": "s",
        "parent_span_id": "p",
        "ttft_ms": 3,
        "error_type": "Timeout",
        "http_status": 504,
        "attempt": 2,
        "service": "router",
        "project": "ralex",
        "client": "web",
        "user_id": "u",
        "session_id": "se",
        "feature": "edit",
        "workflow": "fix",
        "provider": "openai",
        "requested_model": "auto",
        "model": "gpt-4o",
        "service_tier": "priority",
        "input_tokens": 100,
        "cache_read_tokens": 60,
        "cache_write_tokens": 20,
        "cache_write_1h_tokens": 10,
        "output_tokens": 50,
        "reasoning_tokens": 30,
        "reported_usd": "0.000000001",
        "billed_usd": 0.1,
        "outcome": "accepted",
        "value_usd": 3,
        "source": "unit",
        "provider_request_id": "req",
        "revision": 3,
        "attributes": {"a": [1, None, "ü"]},
    }
    assert set(sent) == set(Operation._fields) - set(Pricing._fields) - {"door", "name"}
    operation = one(**sent)
    expected = {
        **sent,
        "name": "x",
        "door": "api",
        "started_at": 1_793_880_000_000_001,
        "ttft_ms": 3.0,
        "reported_usd": Decimal("0.000000001"),
        "billed_usd": Decimal("0.1"),
        "value_usd": Decimal(3),
        "attributes": '{"a":[1,null,"ü"]}',
    }
    assert {name: value for name, value in operation._asdict().items() if name in expected} == expected


def test_one_object_an_array_and_lines_are_the_same_thing() -> None:
    first, second = ({"name": name, "operation_id": name, "started_at": NOW_US} for name in "ab")
    newline = "\n".join(map(json.dumps, (first, second))).encode()
    bodies = [
        (json.dumps([first, second]).encode(), JSON),
        (newline, NDJSON),
        (newline + b"\n", "application/x-ndjson; charset=utf-8"),
        (newline.replace(b"\n", b"\r\n\n"), JSON),
    ]
    for body, content_type in bodies:
        operations, rejected = parse(body, content_type)
        assert ([operation.name for operation in operations], rejected) == (["a", "b"], [])
    assert [operation.name for operation in parse(first)[0]] == ["a"]


def test_a_bad_record_does_not_stop_the_rest() -> None:
    operations, rejected = parse([{"name": "a"}, {"name": ""}, 17, {"name": "b"}])
    assert [operation.name for operation in operations] == ["a", "b"]
    assert [index for index, _ in rejected] == [1, 2]
    assert rejected[1][1] == "an operation is a JSON object, not a number"


def test_a_bad_line_is_named_by_number_and_does_not_stop_the_rest() -> None:
    operations, rejected = parse(b'{"name": "a"}\n\n{"name": \n{"name": "b", "kind": "x"}\n{"name": "c"}\n', NDJSON)
    assert [operation.name for operation in operations] == ["a", "c"]
    assert [index for index, _ in rejected] == [1, 2], "blank lines are not counted"
    assert rejected[0][1].startswith("line 3 is not valid JSON")


@pytest.mark.parametrize("body", [b"", b"  \n ", b"[]"])
def test_an_empty_body_is_nothing(body: bytes) -> None:
    assert parse(body) == ([], [])


@pytest.mark.parametrize("body", [b"{", b"\xff", b"nonsense", b'"text"', b"null", b"[[]]"])
def test_a_body_that_is_no_operation_is_refused_once(body: bytes) -> None:
    operations, rejected = parse(body)
    assert (operations, len(rejected)) == ([], 1)


@pytest.mark.parametrize("field", [*Pricing._fields, "door"])
def test_what_the_server_fills_in_is_refused(field: str) -> None:
    assert reason(**{field: "sdk"}).startswith(f"{field}: filled in by the server")


def test_an_unknown_field_is_refused_with_a_suggestion() -> None:
    assert reason(input_token=3) == "input_token: unknown field; did you mean input_tokens?"
    assert "attributes" in reason(temperature=0.2)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("name", "", "required"),
        ("name", 5, "must be a text, not a number"),
        ("name", "n" * 501, "longer than 500"),
        ("kind", "chat", "must be one of llm, api, db, tool, task, not 'chat'"),
        ("kind", ["llm"], "not an array"),
        ("status", "failed", "must be one of ok, error, cancelled"),
        ("outcome", "good", "must be one of accepted"),
        ("started_at", "2026-11-05T12:00:00", "names no time zone"),
        ("started_at", "yesterday", "is not an ISO-8601 time"),
        ("started_at", 1_700_000_000, "microseconds"),
        ("started_at", 1_700_000_000_000, "microseconds"),
        ("started_at", 1_700_000_000_000_000_000, "microseconds"),
        ("started_at", True, "not a boolean"),
        ("started_at", 1.7e15, "not a number"),
        ("duration_ms", -1, "between 0 and"),
        ("duration_ms", 1e12, "between 0 and"),
        ("duration_ms", "5", "not a text"),
        ("duration_ms", True, "not a boolean"),
        ("ttft_ms", {}, "not an object"),
        ("input_tokens", -1, "between 0 and"),
        ("input_tokens", 1.5, "must be a whole number, not 1.5"),
        ("input_tokens", "12", "must be a whole number"),
        ("input_tokens", 2**60, "between 0 and"),
        ("http_status", 42, "between 100 and 599"),
        ("attempt", 0, "between 1 and"),
        ("revision", -1, "between 0 and"),
        ("reported_usd", "a lot", "is not a number"),
        ("reported_usd", -0.1, "must not be negative"),
        ("reported_usd", "NaN", "must be finite"),
        ("billed_usd", 1e13, "beyond one trillion"),
        ("value_usd", True, "must be a number or a decimal string"),
        ("attributes", "{}", "must be a JSON object, not a text"),
        ("attributes", {"a": "x" * 300_000}, "at most"),
        ("user_id", "u" * 1025, "longer than 1024"),
        ("operation_id", "i" * 129, "longer than 128"),
        ("model", 4, "must be a text, not a number"),
    ],
)
def test_a_wrong_value_names_field_and_reason(field: str, value: object, why: str) -> None:
    said = reason(**{field: value})
    assert said.startswith(f"{field}: ")
    assert why in said


def test_absent_null_and_empty_text_are_unknown() -> None:
    operation = one(model=None, user_id="", input_tokens=None, reported_usd=None, attributes={}, duration_ms=None)
    assert (operation.model, operation.user_id, operation.input_tokens) == (None, None, None)
    assert (operation.reported_usd, operation.attributes, operation.duration_ms) == (None, None, None)


def test_zero_is_zero_and_not_unknown() -> None:
    operation = one(input_tokens=0, reported_usd=0, duration_ms=0, output_tokens=0.0)
    assert (operation.input_tokens, operation.output_tokens) == (0, 0)
    assert operation.reported_usd == 0
    assert operation.duration_ms == 0.0


def test_offsets_are_converted_to_utc() -> None:
    assert one(started_at="2026-11-05T14:00:00+02:00").started_at == 1_793_880_000_000_000
    assert one(started_at=1_793_880_000_000_000).started_at == 1_793_880_000_000_000


@pytest.mark.parametrize(
    "fields",
    [
        {"input_tokens": 10, "cache_read_tokens": 11},
        {"input_tokens": 10, "cache_read_tokens": 6, "cache_write_tokens": 6},
        {"cache_write_tokens": 5, "cache_write_1h_tokens": 6},
        {"output_tokens": 10, "reasoning_tokens": 11},
    ],
)
def test_parts_that_exceed_their_total_are_refused(fields: dict[str, int]) -> None:
    assert "includ" in reason(**fields) or "part" in reason(**fields)


@settings(deadline=None)
@given(st.decimals(min_value=0, max_value=10**9, places=9))
def test_decimal_strings_keep_every_digit(amount: Decimal) -> None:
    assert one(reported_usd=str(amount)).reported_usd == amount


@settings(deadline=None)
@given(st.floats(min_value=1e-9, max_value=1e6))
def test_numbers_are_read_by_their_shortest_text(amount: float) -> None:
    reported = one(reported_usd=amount).reported_usd
    assert reported is not None
    assert reported == Decimal(repr(amount)).quantize(Decimal("1e-18")) or reported == Decimal(repr(amount))


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*Operation._fields, "bogus"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
    )
)
def test_no_record_makes_the_parser_raise(record: dict[str, Any]) -> None:
    operations, rejected = parse_operations(json.dumps(record).encode(), JSON, NOW_US, "api")
    assert len(operations) + len(rejected) == 1


@settings(deadline=None)
@given(st.binary(), st.sampled_from([JSON, NDJSON, "", "text/plain"]))
def test_no_bytes_make_the_parser_raise(body: bytes, content_type: str) -> None:
    parse_operations(body, content_type, NOW_US, "api")


def test_an_id_without_its_time_is_refused_since_sending_it_again_could_not_be_recognised() -> None:
    operations, rejected = parse(b'{"name": "chat", "operation_id": "mine"}', JSON)
    assert operations == []
    assert rejected[0][1].startswith("started_at: required beside operation_id")
