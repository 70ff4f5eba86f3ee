"""Tails, standard errors and design effects against values computed elsewhere or simulated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.stats.intervals import (
    design_effect,
    log_quantile,
    log_quantile_error,
    t_quantile,
    two_sided,
    wilson,
)
from ralex_core.stats.quantiles import bins_of


def histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.unique(bins_of(values), return_counts=True)


# the exact two-sided tails are those of published tables of Student's t
@pytest.mark.parametrize(
    ("t", "df", "exact"), [(3.182, 3, 0.05), (2.228, 10, 0.05), (2.750, 30, 0.01), (1.96, 1e9, 0.05)]
)
def test_tails_are_those_of_the_tables(t: float, df: float, exact: float) -> None:
    assert two_sided(t, df) == pytest.approx(exact, abs=0.002)


@given(st.floats(0.5, 0.999), st.floats(1, 1000))
def test_the_quantile_of_t_is_the_inverse_of_its_tail(confidence: float, df: float) -> None:
    assert two_sided(t_quantile(confidence, df), df) == pytest.approx(1 - confidence, abs=1e-9)


def test_wilsons_interval_is_the_published_one() -> None:
    low, high = wilson(81, 263) or (0, 0)  # Newcombe, Statistics in Medicine 17 (1998), table I
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0, 20) == (0.0, pytest.approx(0.1611, abs=5e-5))
    assert wilson(0, 0) is None


@given(st.lists(st.floats(0.01, 1e6), min_size=30, max_size=200), st.sampled_from((0.5, 0.9, 0.95)))
def test_the_smooth_quantile_is_within_a_bin_of_the_exact_one(values: list[float], q: float) -> None:
    exact = sorted(values)[max(0, math.ceil(q * len(values) - 1e-9) - 1)]
    assert math.exp(log_quantile(*histogram(np.array(values)), q)) == pytest.approx(exact, rel=0.021)


def test_the_error_of_a_quantile_is_what_repeated_samples_show() -> None:
    source = np.random.default_rng(3)
    found = [histogram(source.lognormal(7, 0.7, 2000)) for _ in range(300)]
    spread = np.std([log_quantile(*each, 0.95) for each in found])
    told = np.mean([log_quantile_error(*each, 0.95) or math.nan for each in found])
    assert told == pytest.approx(spread, rel=0.12)


def test_too_few_beyond_the_quantile_leave_its_error_unknown() -> None:
    assert log_quantile_error(*histogram(np.arange(1.0, 8.0)), 0.95) is None
    assert log_quantile_error(np.array([], dtype=int), np.array([], dtype=int), 0.5) is None


def test_independent_operations_have_no_design_effect_and_clustered_ones_do() -> None:
    source = np.random.default_rng(5)
    n = np.full(24, 300)
    independent = [design_effect(n, source.binomial(300, 0.05, 24))[0] for _ in range(200)]
    assert np.median(independent) < 1.3
    shares = 0.05 * np.exp(source.normal(0, 0.5, (200, 24)))
    assert np.median([design_effect(n, source.binomial(300, share))[0] for share in shares]) > 3


def test_few_slots_or_none_above_say_nothing_of_clustering() -> None:
    assert design_effect(np.array([10, 10]), np.array([1, 0])) == (1.0, 1.0)
    assert design_effect(np.full(10, 10), np.zeros(10))[0] == 1.0
    assert design_effect(np.array([]), np.array([])) == (1.0, 1.0)
