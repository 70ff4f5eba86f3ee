"""Slopes, steps and correlations with the truth known; the bench prints the rates over many more series."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.stats.changepoint import SHORTEST, change_points, noise
from ralex_core.stats.correlation import moves_with
from ralex_core.stats.trend import mann_kendall, theil_sen, without_rhythm


def days(source: np.random.Generator, n: int = 90, r: float = 0.5, spread: float = 0.15) -> np.ndarray:
    made, value = np.empty(n), source.standard_normal()
    for place in range(n):
        value = r * value + math.sqrt(1 - r * r) * source.standard_normal()
        made[place] = value
    return 7 + spread * made


def test_the_slope_is_the_median_of_all_pairs() -> None:
    assert theil_sen(np.array([1.0, 2.0, 4.0, np.nan, 5.0])) == 1.0  # slopes 1, 1.5, 1, 2, 1, 0.5
    assert theil_sen(3 + 0.25 * np.arange(20)) == pytest.approx(0.25)


def test_mann_and_kendalls_test_gives_the_published_result() -> None:
    # Gilbert (1987), Statistical Methods for Environmental Pollution Monitoring, p. 212: S = 16 for n = 10 without ties
    found = mann_kendall(np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10]))
    assert found is not None
    assert found.p_value < 0.001
    assert mann_kendall(np.arange(7.0)) is None
    constant = mann_kendall(np.ones(20))
    assert constant is not None
    assert (constant.per_step, constant.p_value) == (0.0, 1.0)


def test_correlated_noise_is_seldom_a_trend_and_a_trend_is_found() -> None:
    source = np.random.default_rng(2)
    false = sum((mann_kendall(days(source)) or _none()).p_value <= 0.01 for _ in range(150))
    assert false <= 9
    rising = math.log(1.3) / 30 * np.arange(90)
    assert sum((mann_kendall(days(source) + rising) or _none()).p_value <= 0.01 for _ in range(50)) >= 48


def _none() -> object:
    raise AssertionError("no slope")


def test_a_weekly_rhythm_is_taken_out_and_nothing_else() -> None:
    at = np.arange(90)
    plain = 7 + 0.002 * at
    weekly = np.array([0.0, 0.1, 0.2, 0.0, -0.1, -0.3, 0.05])
    freed = without_rhythm(plain + weekly[at % 7], 7)
    assert np.ptp(freed - plain) < 0.02
    assert without_rhythm(plain[:20], 7) is not None
    assert (without_rhythm(plain[:20], 7) == plain[:20]).all(), "three weeks are needed"


def test_a_step_is_found_where_it_is() -> None:
    source = np.random.default_rng(9)
    for place in (20, 45, 70):
        series = days(source, spread=0.08)
        series[place:] += math.log(1.49)
        found = change_points(series).changes
        assert [change.place for change in found] == [pytest.approx(place, abs=3)]
        assert found[0].after - found[0].before == pytest.approx(math.log(1.49), abs=0.12)


def test_unchanged_series_have_few_steps() -> None:
    source = np.random.default_rng(10)
    assert sum(len(change_points(days(source)).changes) for _ in range(100)) <= 13


@given(st.lists(st.floats(0, 12), max_size=60))
@settings(max_examples=60)
def test_every_stretch_is_long_enough_and_levels_are_medians(values: list[float]) -> None:
    series = np.array(values)
    found = change_points(series).changes
    bounds = [0, *(change.place for change in found), len(values)]
    if found:
        assert all(end - start >= SHORTEST for start, end in pairwise(bounds))
        assert found[0].before == pytest.approx(float(np.median(series[: bounds[1]])))
    assert change_points(np.full(30, 7.0)).changes == []


def test_the_correlation_of_noise_is_seen_through_a_step() -> None:
    source = np.random.default_rng(8)
    found = []
    for _ in range(100):
        series = days(source, r=0.5)
        series[45:] += 1
        found.append(noise(series))
    assert np.mean([r for _, r in found]) == pytest.approx(0.5, abs=0.15)
    assert np.mean([spread for spread, _ in found]) == pytest.approx(0.15, rel=0.2)


def test_what_follows_is_found_with_its_lag() -> None:
    source = np.random.default_rng(7)
    cpu = days(source, 120, r=0.6)
    times = np.concatenate([source.normal(7, 0.1, 2), cpu[:-2]]) + 0.02 * source.standard_normal(120)
    found = moves_with(cpu, times, 3)
    assert found is not None
    assert (found.lag, found.n) == (2, 118)
    assert found.correlation > 0.9
    assert found.p_value < 0.001


def test_unrelated_smooth_series_are_seldom_related() -> None:
    source = np.random.default_rng(17)
    found = [moves_with(days(source, 60, r=0.8), days(source, 60, r=0.8), 3) for _ in range(150)]
    assert sum(each is not None and each.p_value <= 0.05 for each in found) <= 15
    assert moves_with(np.ones(30), np.arange(30.0)) is None
    assert moves_with(np.arange(11.0), np.arange(11.0)) is None
