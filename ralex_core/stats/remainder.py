"""What a stretch of the future adds up to, from blocks of the past that end where it begins.

The rest of a day, week or month is some whole blocks (days) and a ragged end. A dozen cheap candidates foretell its
sum from earlier blocks; each is tried at every earlier block boundary from what was known there, and the best few are
averaged by their inverse squared error (Bates & Granger, Operational Research Quarterly 20, 1969). The interval comes
from what that average missed by, each time with the weights it would have had then: split-conformal (Lei et al.,
JASA 113, 2018), on square roots, because sums of money vary more the larger they are and are never below zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ralex_core.stats.forecast import CLOSE_RATIO, CLOSE_SHARE, FEWEST_ORIGINS
from ralex_core.stats.intervals import t_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_BLOCKS = 3
"""Blocks with anything in them, and boundaries to try from, needed to foretell at all."""
BEST = 4
"""How many candidates are averaged."""
_KEEP = 0.97
"""Weight of a boundary relative to the one after it, so that old habits fade."""
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Blocks:
    """The past in equal blocks, oldest first, the last one ending now; all arrays are of floats, nothing is negative.

    `whole` (n) are their sums; `ragged` (n) the sums of their first parts, as long as the stretch's ragged end;
    `recent` (n + 1) what the hours before each boundary added, `passed` (n + 1) what had been added since the period
    began, were the boundary now. The stretch is `ahead` whole blocks and the ragged end; `season` blocks make a rhythm.
    """

    whole: NDArray[Any]
    ragged: NDArray[Any]
    recent: NDArray[Any]
    passed: NDArray[Any]
    ahead: int
    season: int


@dataclass(frozen=True, slots=True)
class Trial:
    """How the method did at the boundaries before, each time knowing only what came before it.

    Ratios are 0-1, errors in shares of what really came (WAPE: sum of absolute errors over sum of values). `close` is
    about the whole period, what had passed included. None is not known: nothing came.
    """

    origins: int
    wape: float | None
    naive_wape: float | None
    """The same for the seasonal naive forecast: this stretch as it was one rhythm ago."""
    within_15_ratio: float | None
    naive_within_15_ratio: float | None
    coverage_ratio: float | None
    """Share of boundaries whose interval held what came, each interval from the ones before it."""

    @property
    def earned(self) -> bool:
        """Whether "within 15 %" may be said."""
        return self.origins >= FEWEST_ORIGINS and (self.within_15_ratio or 0.0) >= CLOSE_SHARE


@dataclass(frozen=True, slots=True)
class Remainder:
    """The sum of the stretch with its 95 % interval; `naive` is the seasonal naive forecast of it.

    `methods` are the candidates averaged, the best first. `scaled` says that the past is too short to have tried a
    stretch this long, so that errors of a shorter one were enlarged; nothing is earned then.
    """

    mean: float
    low: float
    high: float
    naive: float
    methods: tuple[str, ...]
    trial: Trial
    scaled: bool


def remainder(blocks: Blocks) -> Remainder | None:
    """The sum of the stretch ahead; None with fewer than `FEWEST_BLOCKS` blocks that hold anything, or boundaries."""
    import numpy as np

    n = len(blocks.whole)
    if int((blocks.whole > 0).sum()) < FEWEST_BLOCKS:
        return None
    names, final = _candidates(blocks, blocks.ahead)
    tried, scaled = blocks.ahead, False
    if n - tried - 1 < FEWEST_ORIGINS and tried > 1:
        tried, scaled = max(1, (n - 1) // 3), True
    guesses = _candidates(blocks, tried)[1] if scaled else final
    origins = np.arange(1, n - tried)
    if len(origins) < FEWEST_BLOCKS:
        return None
    running = np.concatenate([[0.0], np.cumsum(blocks.whole)])
    came = running[origins + tried] - running[origins] + blocks.ragged[origins + tried]
    guesses = guesses[:, origins]
    weights = _weights(np.abs(guesses - came), tried)
    combined: NDArray[Any] = (guesses * weights[:, :-1]).sum(0)
    chosen = weights[:, -1]
    mean = float(chosen @ final[:, n])
    naive_row = names.index("same stretch a rhythm ago")
    settled = min(len(origins) - FEWEST_BLOCKS, tried + 2)
    misses = np.sqrt(came) - np.sqrt(combined)
    spread = math.sqrt(blocks.ahead / tried) if scaled else 1.0
    half = _half_widths(misses[settled:], tried) * spread
    root = math.sqrt(mean)
    order = [int(place) for place in np.argsort(-chosen) if chosen[place] > 0]
    return Remainder(
        mean=mean,
        low=max(0.0, root - float(half[-1])) ** 2,
        high=(root + float(half[-1])) ** 2,
        naive=float(final[naive_row, n]),
        methods=tuple(names[place] for place in order),
        trial=_trial(
            came[settled:],
            combined[settled:],
            guesses[naive_row, settled:],
            blocks.passed[origins][settled:],
            np.abs(misses[settled:]) <= half[:-1] / spread,
        ),
        scaled=scaled,
    )


def _candidates(blocks: Blocks, ahead: int) -> tuple[list[str], NDArray[Any]]:
    """Names and forecasts (candidate, boundary 0 to n) of the next `ahead` blocks and the ragged end after them."""
    import numpy as np

    season = blocks.season
    whole, ragged, recent = blocks.whole, blocks.ragged, blocks.recent
    found: dict[str, NDArray[Any]] = {}
    typical: dict[str, NDArray[Any]] = {}
    for name, kernel in (
        ("mean of a rhythm", np.ones(season)),
        ("mean of two rhythms", np.ones(2 * season)),
        ("mean of four rhythms", np.ones(4 * season)),
        ("slow level", 0.85 ** np.arange(40)),
        ("quick level", 0.6 ** np.arange(12)),
    ):
        found[name] = ahead * _level(whole, kernel) + _level(ragged, kernel)
        typical[name] = _level(recent[:-1], kernel)
    for name, kernel in (
        ("same stretch a rhythm ago", np.ones(1)),
        ("same stretch, four rhythms", 0.6 ** np.arange(4)),
        ("same stretch, eight rhythms", np.ones(8)),
    ):
        per_block, at_end = _seasonal(whole, kernel, season), _seasonal(ragged, kernel, season)
        n = len(whole)
        total = np.zeros(n + 1)
        for step in range(ahead):
            total += per_block[step % season : step % season + n + 1]
        found[name] = total + at_end[ahead % season : ahead % season + n + 1]
        typical[name] = _seasonal(recent[:-1], kernel, season)[: n + 1]
    blend = "level and rhythm"
    found[blend] = (found["slow level"] + found["same stretch, four rhythms"]) / 2
    typical[blend] = (typical["slow level"] + typical["same stretch, four rhythms"]) / 2
    for name in ("slow level", "same stretch, four rhythms", blend):
        floor = 0.05 * typical["slow level"] + 1e-12
        found[f"{name}, as recent hours"] = found[name] * np.sqrt(
            np.clip((recent + floor) / (typical[name] + floor), 0.2, 5.0)
        )
    return list(found), np.array(list(found.values()))


def _level(values: NDArray[Any], kernel: NDArray[Any]) -> NDArray[Any]:
    """Weighted means of the values before each boundary (0 to n), `kernel` from the newest back; 0 before the first."""
    import numpy as np

    n = len(values)
    weights = np.cumsum(kernel)[np.minimum(np.arange(n), len(kernel) - 1)]
    return np.concatenate([[0.0], np.convolve(values, kernel)[:n] / weights])


def _seasonal(values: NDArray[Any], kernel: NDArray[Any], season: int) -> NDArray[Any]:
    """Weighted means of the values one, two … rhythms before each place, 0 to n + season; without any, the level."""
    import numpy as np

    n = len(values)
    total, weight = np.zeros(n + season + 1), np.zeros(n + season + 1)
    for back, share in enumerate(kernel, start=1):
        lag = back * season
        reach = min(n, n + season + 1 - lag)
        if reach > 0:
            total[lag : lag + reach] += share * values[:reach]
            weight[lag : lag + reach] += share
    level = _level(values, np.ones(season))
    fallback = np.concatenate([level, np.full(season, level[-1])])
    return np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), fallback)


def _weights(misses: NDArray[Any], ahead: int) -> NDArray[Any]:
    """Weights (candidate, origin, and one more column for now) from the misses that were known at each origin.

    What an origin missed is known when its stretch has ended, `ahead` + 1 blocks later.
    """
    import numpy as np

    candidates, origins = misses.shape
    score = np.zeros((candidates, origins + 1))
    running = np.zeros(candidates)
    for origin in range(origins + 1):
        done = origin - ahead - 1
        if done >= 0:
            running = running * _KEEP + misses[:, done]
        score[:, origin] = running
    score[:, -1] = misses @ _KEEP ** np.arange(origins)[::-1]
    score += 0.02 * score.mean(0) + 1e-12
    ranks = score.argsort(0, kind="stable").argsort(0)
    untried = np.all(score == score[:1], axis=0)
    weights: NDArray[Any] = np.where((ranks < BEST) | untried, score**-2, 0.0)
    return weights / weights.sum(0)


def _half_widths(misses: NDArray[Any], ahead: int) -> NDArray[Any]:
    """Half the width of the interval at each origin from the misses known there, and one more for now.

    Misses of stretches that overlap say the same thing several times: n of them count as n / (ahead + 1). With twenty
    or more that count the width is their quantile, with fewer Student's t times their root mean square.
    """
    import numpy as np

    n = len(misses)
    widths = np.full(n + 1, np.inf)
    sizes = np.abs(misses)
    for origin in range(n + 1):
        known = sizes if origin == n else sizes[: max(0, origin - ahead)]
        if len(known) < 2:
            continue
        weight = _KEEP ** np.arange(len(known))[::-1]
        counted = float(weight.sum() ** 2 / (weight @ weight)) / (ahead + 1)
        if counted >= 20:
            order = np.argsort(known)
            reached = np.cumsum(weight[order]) / (weight.sum() + 1)
            place = min(int(np.searchsorted(reached, _CONFIDENCE)), len(known) - 1)
            widths[origin] = known[order][place]
        else:
            square = float((known * known) @ weight / weight.sum())
            widths[origin] = t_quantile(_CONFIDENCE, max(2.0, counted)) * math.sqrt(square * (1 + 1 / max(1, counted)))
    return widths


def _trial(
    came: NDArray[Any],
    combined: NDArray[Any],
    naive: NDArray[Any],
    passed: NDArray[Any],
    held: NDArray[Any],
) -> Trial:
    import numpy as np

    total = float(came.sum())
    ends = passed + came
    counted = ends > 0
    judged = held[2:]

    def close(guess: NDArray[Any]) -> float | None:
        if not counted.any():
            return None
        return float((np.abs(guess - came)[counted] <= CLOSE_RATIO * ends[counted]).mean())

    return Trial(
        origins=int(counted.sum()),
        wape=float(np.abs(combined - came).sum()) / total if total > 0 else None,
        naive_wape=float(np.abs(naive - came).sum()) / total if total > 0 else None,
        within_15_ratio=close(combined),
        naive_within_15_ratio=close(naive),
        coverage_ratio=float(judged.mean()) if len(judged) else None,
    )
