"""Differences of percentiles: found when they are there, not when they are not, and never from too little."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.stats.baseline import expect
from ralex_core.stats.compare import (
    Sample,
    against_expected,
    benjamini_hochberg,
    difference,
    enough,
    usual_spread,
)
from ralex_core.stats.quantiles import bins_of


def sample(source: np.random.Generator, n: int = 3600, factor: float = 1.0, q: float = 0.95) -> Sample:
    """An hour in twelve slots."""
    values = factor * source.lognormal(7, 0.6, n)
    bins, counts = np.unique(bins_of(values), return_counts=True)
    slot = np.arange(n) * 12 // n
    return Sample(bins, counts, np.bincount(slot), np.bincount(slot, values > np.quantile(values, q)))


def test_unchanged_windows_differ_by_chance_in_one_of_twenty() -> None:
    source = np.random.default_rng(11)
    found = [difference(sample(source), sample(source), 0.95) for _ in range(300)]
    assert sum(each is not None and each.p_value <= 0.05 for each in found) <= 24  # 8 %: three errors above 5 %


def test_a_fifth_more_is_found_and_its_interval_holds_the_truth() -> None:
    source = np.random.default_rng(12)
    found = [difference(sample(source, factor=1.2), sample(source), 0.95) for _ in range(100)]
    assert sum(each is not None and each.p_value <= 0.05 for each in found) >= 95
    assert sum(each is not None and each.low_ratio <= 1.2 <= each.high_ratio for each in found) >= 90


def test_what_windows_usually_differ_by_is_not_called_a_difference() -> None:
    source = np.random.default_rng(13)
    now, before = sample(source, factor=1.2), sample(source)
    alone = difference(now, before, 0.95)
    restless = difference(now, before, 0.95, [0.15, -0.2, 0.1, 0.18, -0.12, 0.2, -0.17, 0.16])
    assert alone is not None
    assert restless is not None
    assert alone.p_value < 0.01
    assert restless.p_value > 0.1
    assert restless.usual_ratio == pytest.approx(np.exp(1.4826 * 0.165), rel=1e-6)


@pytest.mark.parametrize(("n", "q", "told"), [(99, 0.95, False), (100, 0.95, True), (9, 0.5, False), (10, 0.5, True)])
def test_how_many_operations_a_percentile_needs(n: int, q: float, told: bool) -> None:
    assert enough(n, q) is told
    source = np.random.default_rng(1)
    assert (difference(sample(source, n, q=q), sample(source, 3600, q=q), q) is not None) is told


def test_too_few_earlier_pairs_are_not_usual() -> None:
    assert usual_spread([0.1] * 7) is None
    assert usual_spread([0.1] * 8) == pytest.approx(0.14826)


@given(st.lists(st.floats(0, 1), max_size=40))
def test_adjusted_p_values_are_those_of_the_definition(p_values: list[float]) -> None:
    ordered = sorted(p_values)
    n = len(p_values)
    expected = {
        p: min(min(1.0, other * n / (place + 1)) for place, other in enumerate(ordered) if other >= p) for p in p_values
    }
    assert benjamini_hochberg(p_values) == pytest.approx([expected[p] for p in p_values])


def hours(source: np.random.Generator, count: int = 168) -> np.ndarray:
    at = np.arange(count)
    return 7 + 0.3 * np.sin(2 * np.pi * at / 24) + 0.05 * source.standard_normal(count)


def test_the_expectation_follows_the_rhythm_of_the_day() -> None:
    source = np.random.default_rng(4)
    for place in (168, 174, 180, 186):
        found = expect(hours(source, place), 24)
        assert found is not None
        assert found.value == pytest.approx(7 + 0.3 * np.sin(2 * np.pi * place / 24), abs=0.12)
        assert 0.03 < found.error < 0.1
        assert found.days == 7


def test_without_a_rhythm_the_level_is_expected_and_gaps_are_skipped() -> None:
    series = np.array([7.0, np.nan] * 10)
    found = expect(series, 1)
    assert found is not None
    assert (found.value, found.days, found.n) == (7.0, 0, 9)
    assert expect(np.array([7.0, np.nan] * 7), 1) is None
    assert expect(np.full(200, np.nan), 24) is None


def test_an_hour_is_held_against_what_was_expected() -> None:
    source = np.random.default_rng(6)
    expected = expect(np.log(1000) + np.log(np.exp(0.987)) + 0.02 * source.standard_normal(168), 24)
    assert expected is not None
    slower = against_expected(sample(source, factor=1.2 * 1000 / np.exp(7)), 0.95, expected, 9)
    assert slower is not None
    assert slower.p_value < 0.05
    assert slower.ratio == pytest.approx(1.2, rel=0.08)
    assert against_expected(sample(source, 50), 0.95, expected, 9) is None
