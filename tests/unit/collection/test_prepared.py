"""Operations prepared before they happen are, on the wire, what they would be if they were not."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.collection import tables
from ralex_core.collection.encoding import Row, encode, set_in_rows, table
from ralex_core.collection.native import NDJSON, parse_operations
from ralex_core.collection.prepared import Prepared
from ralex_core.collection.recorder import Values

NUMBERS = st.integers(0, 2**62)
TEXTS = st.text(min_size=1, max_size=30)
STEADY_NS = 1000
PLACES = st.tuples(
    NUMBERS | st.just("ab" * 16),
    NUMBERS,
    st.none() | NUMBERS | st.just("cd" * 8),
    st.integers(10**18, 2 * 10**18),
    st.just(STEADY_NS),
    st.integers(STEADY_NS, 10**12),
)
"""Trace, span, parent, start by the wall clock and by the steady one, end."""


def in_tables(operations: list[Values], constants: Mapping[str, Any]) -> bytes:
    alike: defaultdict[Prepared, list[Row]] = defaultdict(list)
    assert not set_in_rows(operations, alike)
    return b"".join(table(prepared, rows, constants) for prepared, rows in alike.items())


@given(
    name=TEXTS,
    attributes=st.dictionaries(TEXTS, TEXTS | st.integers(-5, 5), min_size=1, max_size=4),
    constants=st.dictionaries(st.sampled_from(["service", "project", "user_id"]), TEXTS),
    operations=st.lists(st.tuples(st.none() | st.integers(0, 2**40), PLACES), min_size=1, max_size=5),
)
def test_a_prepared_operation_is_sent_as_any_other(
    name: str,
    attributes: dict[str, Any],
    constants: dict[str, Any],
    operations: list[tuple[int | None, Any]],
) -> None:
    fields: dict[str, Any] = {"http_status": 200, "client": "50 % web"}
    prepared = Prepared(name, "api", fields, attributes, "size of it")
    # the first once more: a request and its queries share a trace, and their ids end alike
    places = [(count, (*place, None)) for count, place in operations]
    places.append((7, (places[0][1][0], places[0][1][0], places[0][1][0], *places[0][1][3:])))
    if isinstance(places[0][1][0], str):
        places.pop()
    payload = in_tables([(prepared, "api", count, None, *place) for count, place in places], constants)
    plain = b"".join(
        encode(
            (name, "api", fields, attributes | ({} if count is None else {"size of it": count}), *place),
            constants,
        )
        for count, place in places
    )
    assert tables.count(payload) == len(places)
    sent = [orjson.loads(line) for line in tables.lines(payload)]
    assert sent == [orjson.loads(line) for line in plain.splitlines()]
    assert parse_operations(payload, NDJSON, 0, "sdk") == parse_operations(plain, NDJSON, 0, "sdk")


@given(place=PLACES, defaults=st.fixed_dictionaries({"feature": TEXTS}))
def test_with_defaults_of_its_context_it_is_a_line_of_its_own(place: Any, defaults: dict[str, Any]) -> None:
    prepared = Prepared("select ?", "db", {}, {"a": 1}, "rows")
    values = (prepared, "db", 3, None, *place, defaults)
    assert set_in_rows([values], {}) == [values]
    line = orjson.loads(encode(values, {}))
    assert (line["name"], line["feature"], line["attributes"]) == ("select ?", defaults["feature"], {"a": 1, "rows": 3})


def test_each_destination_gets_its_own_constants() -> None:
    prepared = Prepared("select ?", "db", {}, {"a": 1}, "rows")
    values = (prepared, "db", 3, None, 5, 5, None, 10**18, 1, 2, None)
    for constants in ({"service": "one"}, {"service": "two"}, {}):
        assert orjson.loads(in_tables([values], constants))["common"].get("service") == constants.get("service")


def test_a_start_by_the_steady_clock_alone_is_told_by_the_wall_clock() -> None:
    prepared = Prepared("select ?", "db", {}, {"a": 1}, "rows")
    before_us = time.time_ns() // 1000
    start_ns = time.monotonic_ns()
    where = (5, 5, None, 0, start_ns, start_ns, None)
    lines = tables.lines(in_tables([(prepared, "db", 3, None, *where)], {}))
    lines.append(encode(("plain", "db", {}, None, *where), {}))
    for line in lines:
        assert before_us - 1000 <= orjson.loads(line)["started_at"] <= time.time_ns() // 1000 + 1000
