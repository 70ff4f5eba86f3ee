"""The monitor's own counters, levels and distributions."""

from __future__ import annotations

import itertools
import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.clock import ManualClock
from ralex_core.selfmetrics import BOUNDS, LEAST_S, MAX_SERIES, RECENT_S, Observed, SelfMetrics

VALUES = st.lists(st.floats(min_value=2e-6, max_value=9e5), min_size=1, max_size=200)


def told(values: list[float]) -> Observed:
    metrics = SelfMetrics()
    for value in values:
        metrics.observe("some_seconds", value)
    return metrics.observed("some_seconds")[()]


def nearest_rank(values: list[float], q: float) -> float:
    """The definition, by sorting."""
    ranked = sorted(values)
    return ranked[max(1, math.ceil(round(q * len(values), 9))) - 1]


@given(VALUES, st.sampled_from((0.5, 0.9, 0.95, 0.99, 1.0)))
def test_a_percentile_is_within_seven_percent_of_the_exact_one(values: list[float], q: float) -> None:
    found = told(values).ever.percentile(q)
    assert found == pytest.approx(nearest_rank(values, q), rel=0.07)


@given(VALUES)
def test_count_sum_and_maximum_are_exact(values: list[float]) -> None:
    found = told(values).ever
    assert (found.count, found.largest) == (len(values), max(values))
    assert found.total == pytest.approx(math.fsum(values))
    assert found.mean == pytest.approx(math.fsum(values) / len(values))


@given(VALUES, st.sampled_from(BOUNDS))
def test_the_number_of_values_up_to_a_bound_is_exact(values: list[float], bound: float) -> None:
    assert told([*values, bound]).ever.up_to(bound) == sum(value <= bound for value in [*values, bound])


def test_the_bounds_rise_in_even_steps() -> None:
    ratios = [above / below for below, above in itertools.pairwise(BOUNDS)]
    assert 1.1 < min(ratios) <= max(ratios) < 1.07**2


def test_nothing_observed_has_no_percentile() -> None:
    metrics = SelfMetrics()
    assert metrics.observed("never_seconds") == {}
    metrics.observe("zero_seconds", 0.0)
    found = metrics.observed("zero_seconds")[()].ever
    assert (found.count, found.percentile(0.5), found.largest) == (1, 0.0, 0.0)


def test_values_beyond_all_bounds_are_kept_as_the_largest() -> None:
    assert told([1.0, 5e9]).ever.percentile(0.99) == pytest.approx(math.sqrt(BOUNDS[-1] * 5e9))
    assert told([1.0, 5e9]).ever.largest == 5e9


def test_recent_figures_forget_what_is_older_than_ten_minutes() -> None:
    clock = ManualClock(0)
    metrics = SelfMetrics(clock.monotonic)
    metrics.observe("x_seconds", 9.0)
    clock.advance(RECENT_S + 1)
    metrics.observe("x_seconds", 1.0)
    found = metrics.observed("x_seconds")[()]
    assert (found.recent.count, found.recent.largest) == (2, 9.0)
    clock.advance(RECENT_S + 1)
    found = metrics.observed("x_seconds")[()]
    assert (found.recent.count, found.recent.largest, found.ever.count) == (1, 1.0, 2)
    clock.advance(10 * RECENT_S)
    assert metrics.observed("x_seconds")[()].recent.count == 0


def test_rates_are_told_over_a_minute_at_least() -> None:
    assert told([1.0]).recent_s == LEAST_S


def test_labels_are_told_apart_up_to_a_limit() -> None:
    metrics = SelfMetrics()
    for number in range(MAX_SERIES + 50):
        labels = (("route", f"/{number}"), ("method", "GET"))
        metrics.add("requests_total", 1, labels)
        metrics.observe("request_seconds", 0.1, labels)
        metrics.set("level", number, labels)
    counted = metrics.all_counters()["requests_total"]
    assert len(counted) == len(metrics.observed("request_seconds")) == len(metrics.all_gauges()["level"])
    assert len(counted) == MAX_SERIES + 1
    assert sum(counted.values()) == MAX_SERIES + 50
    assert counted[(("route", "other"), ("method", "other"))] == 50


def test_counters_with_and_without_labels_live_side_by_side() -> None:
    metrics = SelfMetrics()
    metrics.add("plain_total", 2)
    metrics.add("by_level_total", 3, (("level", "error"),))
    assert metrics.counters() == {"plain_total": 2}
    assert metrics.all_counters()["by_level_total"] == {(("level", "error"),): 3}


def test_threads_lose_no_count() -> None:
    metrics = SelfMetrics()

    def work() -> None:
        for _ in range(2_000):
            metrics.add("n_total")
            metrics.observe("n_seconds", 0.5)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.counters()["n_total"] == metrics.observed("n_seconds")[()].ever.count == 8_000
