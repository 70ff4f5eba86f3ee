from __future__ import annotations

import numpy as np
import pytest

from ralex_core.stats.bootstrap import FEWEST_CLUSTERS, MOST_CLUSTERS, ratio_interval


def clusters(seed: int, n: int, ratio: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    costs = rng.lognormal(0, 0.8, n)
    return costs * ratio * (rng.random(n) < 0.8) / 0.8 * rng.lognormal(-0.125, 0.5, n), costs


def test_the_truth_lies_inside_about_as_often_as_promised() -> None:
    inside = 0
    for seed in range(200):
        found = ratio_interval(*clusters(seed, 100), resamples=400)
        assert found is not None
        inside += found.low <= 10 <= found.high
    # 95 % of 200 is 190; binomial noise is 3, and skewed sums cost a few percent
    assert 178 <= inside <= 199


def test_it_narrows_with_the_square_root_of_the_sessions() -> None:
    widths = []
    for n in (100, 900):
        found = ratio_interval(*clusters(1, n))
        assert found is not None
        widths.append(np.log(found.high / found.low))
    assert widths[0] / widths[1] == pytest.approx(3, rel=0.35)


def test_many_sessions_dealt_into_groups_vary_as_they_did() -> None:
    tops, bottoms = clusters(2, 4 * MOST_CLUSTERS)
    found = ratio_interval(tops, bottoms)
    ratio = tops.sum() / bottoms.sum()
    error = np.sqrt(((tops - ratio * bottoms) ** 2).sum()) / bottoms.sum()
    assert found is not None
    assert found.low == pytest.approx(ratio - 1.96 * error, rel=0.01)
    assert found.high == pytest.approx(ratio + 1.96 * error, rel=0.01)


def test_the_same_input_gives_the_same_interval() -> None:
    assert ratio_interval(*clusters(3, 50)) == ratio_interval(*clusters(3, 50))


def test_too_few_clusters_or_nothing_paid_have_no_interval() -> None:
    assert ratio_interval([1.0] * (FEWEST_CLUSTERS - 1), [1.0] * (FEWEST_CLUSTERS - 1)) is None
    assert ratio_interval([1.0] * 30, [0.0] * 30) is None


def test_without_variation_the_interval_is_a_point() -> None:
    assert ratio_interval([2.0] * 30, [1.0] * 30) == (2.0, 2.0)
    assert ratio_interval([0.0] * 30, [1.0] * 30) == (0.0, 0.0)
