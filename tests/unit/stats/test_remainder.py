from __future__ import annotations

import numpy as np
import pytest

from ralex_core.stats.forecast import FEWEST_ORIGINS
from ralex_core.stats.remainder import Blocks, remainder

WEEK = np.array([10.0, 11.0, 10.5, 10.0, 9.0, 1.0, 1.0])


def blocks(days: int, *, ahead: int = 0, noise: float = 0.0, seed: int = 0, passed_share: float = 0.4) -> Blocks:
    """Days of a working week, 40 % of each spent before the time of day it is now."""
    rng = np.random.default_rng(seed)
    whole = WEEK[np.arange(days) % 7] * (rng.lognormal(0, noise, days) if noise else 1.0)
    passed = np.concatenate([[0.0], whole * passed_share])
    return Blocks(whole, whole * (1 - passed_share), passed, passed, ahead, 7)


def test_a_rhythm_that_repeats_is_foretold_exactly_and_closeness_is_earned() -> None:
    for ahead in (0, 3, 6):
        made = remainder(blocks(70, ahead=ahead))
        assert made is not None
        week = WEEK[(70 + np.arange(ahead)) % 7].sum() + 0.6 * WEEK[(70 + ahead) % 7]
        assert made.mean == pytest.approx(week, rel=1e-3)
        assert made.naive == pytest.approx(week)
        assert made.low <= week <= made.high
        assert made.trial.earned
        assert made.trial.origins >= FEWEST_ORIGINS


def test_the_interval_holds_what_comes_as_often_as_it_says() -> None:
    held = 0
    for seed in range(200):
        future = blocks(101, noise=0.5, seed=seed)
        past = blocks(100, noise=0.5, seed=seed)
        made = remainder(past)
        assert made is not None
        held += made.low <= future.ragged[100] <= made.high
    assert 0.92 <= held / 200 <= 0.99


def test_closeness_is_not_claimed_of_what_is_hard_to_foretell() -> None:
    rng = np.random.default_rng(3)
    whole = rng.lognormal(0, 1.5, 90)
    passed = np.zeros(91)
    made = remainder(Blocks(whole, whole, passed, passed, 0, 7))
    assert made is not None
    assert not made.trial.earned
    assert made.trial.wape is not None and made.trial.naive_wape is not None
    assert made.trial.wape < made.trial.naive_wape


def test_with_too_little_past_nothing_is_said() -> None:
    assert remainder(blocks(0)) is None
    assert remainder(blocks(1)) is None
    assert remainder(blocks(3)) is None
    nothing = np.zeros(50)
    assert remainder(Blocks(nothing, nothing, np.zeros(51), np.zeros(51), 0, 7)) is None


def test_a_stretch_longer_than_the_past_can_show_is_foretold_with_enlarged_errors_and_earns_nothing() -> None:
    short, long = remainder(blocks(20, ahead=6, noise=0.2)), remainder(blocks(20, ahead=29, noise=0.2))
    assert short is not None and not short.scaled
    assert long is not None and long.scaled
    assert long.low < 29 * WEEK.mean() < long.high


def test_days_without_anything_are_zeros_not_errors() -> None:
    whole = np.zeros(60)
    whole[[5, 17, 30, 44]] = 3.0
    made = remainder(Blocks(whole, whole / 2, np.zeros(61), np.zeros(61), 2, 7))
    assert made is not None
    assert 0 <= made.low <= made.mean <= made.high < np.inf
