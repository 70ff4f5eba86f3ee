"""Operations prepared before they happen are, on the wire, what they would be if they were not."""

from __future__ import annotations

import time
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.collection.encoding import encode
from ralex_core.collection.prepared import Prepared

NUMBERS = st.integers(0, 2**62)
TEXTS = st.text(min_size=1, max_size=30)


@given(
    name=TEXTS,
    attributes=st.dictionaries(TEXTS, TEXTS | st.integers(-5, 5), min_size=1, max_size=4),
    constants=st.dictionaries(st.sampled_from(["service", "project", "user_id"]), TEXTS),
    defaults=st.none() | st.fixed_dictionaries({"feature": TEXTS}),
    count=st.none() | st.integers(0, 2**40),
    trace=NUMBERS | st.just("ab" * 16),
    span=NUMBERS,
    parent=st.none() | NUMBERS | st.just("cd" * 8),
    started_ns=st.integers(10**18, 2 * 10**18),
    took_ns=st.integers(0, 10**12),
)
def test_a_prepared_operation_is_encoded_as_any_other(
    name: str,
    attributes: dict[str, Any],
    constants: dict[str, Any],
    defaults: dict[str, Any] | None,
    count: int | None,
    trace: int | str,
    span: int,
    parent: int | str | None,
    started_ns: int,
    took_ns: int,
) -> None:
    fields = {"http_status": 200, "client": "50 % web"}
    prepared = Prepared(name, "api", fields, attributes, "size of it")
    where = (trace, span, parent, started_ns, 1000, 1000 + took_ns, defaults)
    full = attributes | ({} if count is None else {"size of it": count})
    for _ in range(2):  # made, and filled in again
        line = encode((prepared, "api", count, None, *where), constants)
        assert line.endswith(b"}\n")
        assert line.count(b"\n") == 1
        filled, plain = orjson.loads(line), orjson.loads(encode((name, "api", fields, full, *where), constants))
        assert abs(filled.pop("duration_ms") - plain.pop("duration_ms")) <= 1e-6
        assert filled == plain


def test_each_destination_gets_its_own_constants() -> None:
    prepared = Prepared("select ?", "db", {}, {"a": 1}, "rows")
    values = (prepared, "db", 3, None, 5, 5, None, 10**18, 1, 2, None)
    for constants in ({"service": "one"}, {"service": "two"}, {}):
        assert orjson.loads(encode(values, constants)).get("service") == constants.get("service")


def test_a_start_by_the_steady_clock_alone_is_told_by_the_wall_clock() -> None:
    prepared = Prepared("select ?", "db", {}, {"a": 1}, "rows")
    before_us = time.time_ns() // 1000
    start_ns = time.monotonic_ns()
    for name, fields, attributes in ((prepared, 3, None), ("plain", {}, None)):
        line = orjson.loads(encode((name, "db", fields, attributes, 5, 5, None, 0, start_ns, start_ns, None), {}))
        assert before_us - 1000 <= line["started_at"] <= time.time_ns() // 1000 + 1000
