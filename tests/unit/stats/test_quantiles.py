"""The histogram's promise: mergeable, the same bins everywhere, percentiles within 1 % of exact."""

from __future__ import annotations

import math

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.stats import quantiles as q

durations_ms = st.floats(min_value=0, max_value=1e9, allow_nan=False)
any_float = st.floats(allow_nan=True, allow_infinity=True)
ratios = st.floats(min_value=0, max_value=1)


def exact_nearest_rank(values: list[float], ratio: float) -> float:
    """The definition itself: the smallest value with at least ratio·n values at or below it."""
    ordered = sorted(values)
    return next(v for i, v in enumerate(ordered, start=1) if i >= ratio * len(ordered) * (1 - 1e-12))


def test_the_error_bound_is_under_one_percent() -> None:
    assert q.RELATIVE_ERROR < 0.01


@given(st.lists(durations_ms, min_size=1, max_size=200), ratios)
def test_a_percentile_is_within_one_percent_of_the_exact_nearest_rank(values: list[float], ratio: float) -> None:
    found = q.percentile(q.histogram(values), ratio)
    exact = exact_nearest_rank(values, ratio)
    assert found is not None
    if exact >= 1e-281:
        assert abs(found - exact) <= 0.01 * exact
    else:
        assert found < 1e-280


@pytest.mark.parametrize(
    ("ratio", "n", "rank"),
    [(0.07, 100, 7), (0.95, 20, 19), (0.5, 1, 1), (0, 10, 1), (1, 10, 10), (0.99, 101, 100)],
)
def test_ranks_are_the_nearest_ones_despite_binary_fractions(ratio: float, n: int, rank: int) -> None:
    assert q.rank_of(ratio, n) == rank


def test_no_values_have_no_percentile() -> None:
    empty = np.array([], dtype=np.int64)
    assert q.percentile({}, 0.5) is None
    assert q.percentile({3: 0}, 0.5) is None
    assert q.percentiles(empty, empty, (0.5, 0.9)) == [None, None]
    assert q.percentiles(np.array([3]), np.array([0]), (0.5,)) == [None]


@pytest.mark.parametrize("ratio", [-0.1, 1.1, 95, float("nan")])
def test_a_quantile_that_is_not_a_ratio_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="ratio from 0 to 1"):
        q.percentile({1: 1}, ratio)
    with pytest.raises(ValueError, match="ratio from 0 to 1"):
        q.percentiles(np.array([1]), np.array([1]), (ratio,))


@given(st.lists(st.lists(durations_ms, max_size=50), max_size=5))
def test_merging_histograms_is_the_histogram_of_everything(parts: list[list[float]]) -> None:
    merged = q.merge(q.histogram(part) for part in parts)
    assert merged == q.histogram(value for part in parts for value in part)


@given(st.lists(any_float, min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_python_numpy_and_duckdb_put_every_value_in_the_same_bin(values: list[float]) -> None:
    expected = [q.bin_of(value) for value in values]
    assert q.bins_of(np.array(values)).tolist() == expected
    rows = duckdb.execute(f"select {q.bin_sql('x')} from (select unnest(?::double[]) as x)", [values]).fetchall()
    assert [row[0] for row in rows] == expected


def test_duckdb_agrees_over_the_whole_range_of_durations() -> None:
    values = np.concatenate([np.geomspace(1e-4, 1e9, 20_000), np.arange(0, 20_000, dtype=float), np.array([0.0, -1.0])])
    rows = duckdb.execute(
        f"select {q.bin_sql('x')} from (select unnest(?::double[]) as x)", [values.tolist()]
    ).fetchall()
    assert [row[0] for row in rows] == [q.bin_of(float(value)) for value in values] == q.bins_of(values).tolist()


def test_an_unknown_duration_has_no_bin_in_sql() -> None:
    assert duckdb.execute(f"select {q.bin_sql('x')} from (select null::double as x)").fetchone() == (None,)


@given(st.integers(min_value=-20_000, max_value=20_000))
def test_a_bin_contains_the_value_that_stands_for_it(bin: int) -> None:
    assert q.bin_of(q.value_of(bin)) == bin


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-300, 900), st.integers(0, 20)), max_size=80),
    st.lists(ratios, min_size=1, max_size=4),
)
def test_many_histograms_at_once_give_what_each_gives_alone(
    rows: list[tuple[int, int, int]], wanted: list[float]
) -> None:
    keys, bins, counts = (
        np.array(column, dtype=np.int64) for column in (zip(*rows, strict=True) if rows else ([], [], []))
    )
    found_keys, table = q.percentiles_by_key(keys, bins, counts, wanted)
    alone: dict[int, dict[int, int]] = {}
    for key, bin, count in rows:
        if count:
            alone[key] = q.merge((alone.get(key, {}), {bin: count}))
    assert found_keys.tolist() == sorted(alone)
    for key, row in zip(found_keys.tolist(), table, strict=True):
        expected = q.percentiles_of(alone[key], wanted)
        assert all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(row, expected, strict=True) if b is not None)
        assert [None if math.isnan(v) else 1 for v in row] == [1] * len(wanted)


def test_percentiles_come_back_in_the_order_they_were_asked_for() -> None:
    counts = q.histogram([float(v) for v in range(1, 101)])
    low, high = q.percentile(counts, 0.1), q.percentile(counts, 0.9)
    assert q.percentiles_of(counts, (0.9, 0.1)) == [high, low]
    bins = np.array(list(counts)), np.array(list(counts.values()))
    assert q.percentiles(*bins, (0.9, 0.1)) == pytest.approx([high, low])
