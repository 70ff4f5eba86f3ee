from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ralex_core.stats.forecast import FEWEST_VALUES, backtest, forecast, naive_forecast

Values = NDArray[np.float64]


def hours(days: int, *, noise: float = 0.0, seed: int = 0, trend: float = 0.0) -> Values:
    """A working day on a working week, with log-normal noise and `trend` a week."""
    place = np.arange(days * 24)
    daily = 1 + np.clip(np.sin((place % 24 - 6) / 24 * 2 * np.pi), 0, None) * 4
    weekly = np.where(place // 24 % 7 < 5, 1.0, 0.2)
    drawn = np.random.default_rng(seed).lognormal(0, noise, len(place)) if noise else 1.0
    return daily * weekly * np.exp(trend * place / 168) * drawn


def test_a_rhythm_of_day_and_week_is_continued() -> None:
    whole = hours(37)
    made = forecast(whole[: 35 * 24], 48)
    assert made is not None
    assert np.abs(made.mean - whole[35 * 24 :]).max() < 0.02 * whole.max()
    assert (made.low <= made.mean).all() and (made.mean <= made.high).all()
    assert made.methods


def test_growth_is_followed_better_than_repeating_the_last_week_does() -> None:
    whole = hours(70, trend=0.15, noise=0.05)
    past, came = whole[: 68 * 24], whole[68 * 24 :]
    made = forecast(past, 48)
    assert made is not None
    assert np.abs(made.mean - came).sum() < 0.7 * np.abs(naive_forecast(past, 48) - came).sum()


def test_intervals_hold_what_comes_as_often_as_they_say() -> None:
    held = []
    for seed in range(30):
        whole = hours(30, noise=0.3, seed=seed)
        made = forecast(whole[: 28 * 24], 48)
        assert made is not None
        came = whole[28 * 24 :]
        held.append(((came >= made.low) & (came <= made.high)).mean())
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize("count", [0, 1, 3, FEWEST_VALUES - 1])
def test_a_few_values_foretell_nothing(count: int) -> None:
    assert forecast(np.ones(count), 24) is None
    assert backtest(np.ones(count), 24) is None


def test_from_the_fewest_values_on_there_is_a_forecast_of_any_length() -> None:
    for count in range(FEWEST_VALUES, 60):
        values = np.random.default_rng(count).gamma(1.0, 1.0, count)
        for horizon in (1, 7, 48):
            made = forecast(values, horizon, (7,))
            assert made is not None
            assert made.mean.shape == made.low.shape == made.high.shape == (horizon,)
            assert np.isfinite([made.mean, made.low, made.high]).all()
            assert (made.low <= made.mean).all() and (made.mean <= made.high).all()


def test_what_is_not_known_is_a_gap_and_not_a_zero() -> None:
    whole = hours(37)
    past = whole[: 35 * 24].copy()
    past[5 * 24 : 9 * 24] = np.nan
    past[-30:-20] = np.nan
    past[:50] = np.nan
    made = forecast(past, 48)
    assert made is not None
    assert np.abs(made.mean - whole[35 * 24 :]).sum() < 0.1 * whole[35 * 24 :].sum()
    assert forecast(np.full(500, np.nan), 24) is None
    mostly = np.full(500, np.nan)
    mostly[::60] = 2.0
    sparse = forecast(mostly, 24)
    assert sparse is not None and np.allclose(sparse.mean, 2.0)


def test_money_is_never_foretold_below_zero() -> None:
    rng = np.random.default_rng(5)
    for values in (
        np.zeros(200),
        np.where(rng.random(400) < 0.05, rng.gamma(1, 5, 400), 0.0),
        np.linspace(100, 0, 300),
        np.concatenate([np.zeros(300), [50.0]]),
    ):
        made = forecast(values, 48)
        assert made is not None
        assert (made.low >= 0).all() and (made.mean >= 0).all()
        assert np.isfinite(made.high).all()


def test_the_unit_of_the_values_does_not_matter() -> None:
    values = hours(30, noise=0.2)
    made, scaled = forecast(values, 24), forecast(values * 1e9, 24)
    tiny = forecast(values * 1e-9, 24)
    assert made is not None and scaled is not None and tiny is not None
    assert np.allclose(made.mean * 1e9, scaled.mean, rtol=1e-6)
    assert np.allclose(made.high * 1e-9, tiny.high, rtol=1e-6)


def test_values_below_zero_are_allowed_where_they_occur() -> None:
    made = forecast(np.sin(np.arange(480) / 24 * 2 * np.pi), 24)
    assert made is not None
    assert made.mean.min() < -0.9


def test_a_forecast_needs_a_step() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        forecast(np.ones(100), 0)


def test_a_backtest_knows_only_what_came_before_and_stands_beside_the_naive_one() -> None:
    values = hours(49, noise=0.02)
    made = backtest(values, 24, origins=8)
    assert made is not None
    assert made.origins == 8
    assert made.wape is not None and made.naive_wape is not None and made.wape < made.naive_wape
    assert made.earned
    tail = values.copy()
    tail[-24:] = 1e6
    spoilt = backtest(tail, 24, origins=8)
    assert spoilt is not None and spoilt.wape is not None and spoilt.wape > 0.9
    assert spoilt.within_15_ratio == made.within_15_ratio - 1 / 8


def test_closeness_is_not_earned_by_noise_nor_by_too_few_origins() -> None:
    noise = np.random.default_rng(2).gamma(0.3, 1.0, 200)
    hard = backtest(noise, 7, origins=8, periods=(7,))
    assert hard is not None and not hard.earned
    few = backtest(hours(49), 24, origins=5)
    assert few is not None and few.within_15_ratio == 1.0 and not few.earned


def test_the_naive_forecast_repeats_the_longest_rhythm_there_is() -> None:
    values = np.arange(200.0)
    assert naive_forecast(values, 3).tolist() == [32.0, 33.0, 34.0]
    assert naive_forecast(values[:30], 3).tolist() == [6.0, 7.0, 8.0]
    assert naive_forecast(values[:2], 2).tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="nothing to repeat"):
        naive_forecast(np.array([np.nan]), 2)
