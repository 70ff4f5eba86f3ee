"""The known ids: they may say "perhaps stored" of a new id, never "surely not" of a stored one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.storage.known_ids import SPANS, KnownIds

times = st.one_of(st.integers(0, 1 << 52), st.integers(-(1 << 62), 1 << 62), st.integers(0, 300_000_000))
entries = st.lists(st.tuples(st.integers(0, (1 << 32) - 1) | st.integers(0, 20), times), min_size=1, max_size=100)


def known(batches: list[list[tuple[int, int]]]) -> KnownIds:
    ids = KnownIds(np.empty(0, dtype=np.uint64))
    for batch in batches:
        ids.add(np.array([value for value, _ in batch], dtype=np.uint32), [at for _, at in batch])
    return ids


@given(batches=st.lists(entries, min_size=1, max_size=12))
def test_whatever_was_added_is_looked_up_where_it_is(batches: list[list[tuple[int, int]]]) -> None:
    ids = known(batches)
    added = [entry for batch in batches for entry in batch]
    spans = ids.places(np.array([value for value, _ in added], dtype=np.uint32))
    assert len(spans) <= SPANS
    for position, (_, at) in enumerate(added):
        assert any(span.low_us <= at <= span.high_us and position in span.positions for span in spans)


def test_what_was_never_added_is_ruled_out() -> None:
    ids = known([[(n, n * 60_000_000) for n in range(start, start + 37)] for start in range(0, 3700, 74)])
    absent = [n for start in range(37, 3700, 74) for n in range(start, start + 37)]
    assert ids.places(np.array(absent, dtype=np.uint32)) == []
    assert ids.places(np.empty(0, dtype=np.uint32)) == []


def test_places_far_apart_are_not_bridged() -> None:
    year = 365 * 86_400_000_000
    spans = known([[(1, 0), (2, year), (3, year + 1)]]).places(np.array([1, 2, 3], dtype=np.uint32))
    assert [span.positions.tolist() for span in spans] == [[0], [1, 2]]
    assert all(span.high_us - span.low_us < 120_000_000 for span in spans if span.low_us > 0)
