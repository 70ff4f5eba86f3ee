"""Forecasts of spend are as accurate as they say: on a simulated team's traffic and on a developer's own log.

Spend is looked at from every day of the past, at three times of day, knowing only what was known then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC

import numpy as np
import pytest

from ralex_core.budgeting.periods import period_window
from ralex_core.collection.importers.registry import importer_for
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, HOUR_US, Window
from ralex_core.monitoring.projection import HISTORY_DAYS, blocks_of
from ralex_core.monitoring.spend_history import SpendHistory
from ralex_core.simulate import Team
from ralex_core.simulate.people import PEOPLE
from ralex_core.simulate.workload import simulate
from ralex_core.stats.remainder import remainder
from tests.support.importing import read_all
from tests.support.operations import T0
from tests.support.prices import book_in
from tests.support.shared import shared_path

HOURS = (9, 15, 20)
HORIZONS = ("day", "week", "month")
SIMULATED_DAYS = 110
TEAM = tuple(person for person in PEOPLE if person.user_id in ("amira", "marcus", "sam", "ci-bot"))

Series = Mapping[int, float]
"""Hour (µs) → USD."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One projection and what came; USD of the rest of the period, and of the whole of it."""

    series: str
    horizon: str
    mean: float
    naive: float
    came: float
    whole: float
    held: bool
    claimed: bool

    @property
    def close(self) -> bool:
        return abs(self.mean - self.came) <= 0.15 * self.whole


def by_hour(operations: Iterable[Operation]) -> Series:
    sums: defaultdict[int, float] = defaultdict(float)
    for operation in operations:
        if operation.kind == "llm":
            sums[operation.started_at // HOUR_US * HOUR_US] += float(operation.cost_usd or 0)
    return sums


def looked_at(name: str, series: Series) -> Iterator[Outcome]:
    """Projections from every fifth day on, for every period that ends inside the series."""
    rows = sorted(series.items())
    end = rows[-1][0] + HOUR_US
    everything = SpendHistory(rows, HOUR_US, end)
    for day in range(rows[0][0] // DAY_US * DAY_US + 5 * DAY_US, end, DAY_US):
        for hour in HOURS:
            now = day + hour * HOUR_US
            known = SpendHistory((row for row in rows if now - HISTORY_DAYS * DAY_US <= row[0] < now), HOUR_US, now)
            for horizon in HORIZONS if hour == 15 else ("day",):
                window = period_window(horizon, now, UTC)
                blocks = blocks_of(known, window, now, UTC) if window.end_us <= end else None
                made = None if blocks is None else remainder(blocks)
                if made is None:
                    continue
                start, here, last = everything.until(np.array([window.start_us, now, window.end_us]))
                yield Outcome(
                    name,
                    horizon,
                    made.mean,
                    made.naive,
                    float(last - here),
                    float(last - start),
                    made.low <= last - here <= made.high,
                    made.trial.earned and not made.scaled,
                )


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """A team of four and each of its members."""
    book = book_in(tmp_path_factory.mktemp("prices"))
    window = Window(T0 - SIMULATED_DAYS * DAY_US, T0)
    operations = book.price_all([one for one in simulate(Team(5, TEAM), window) if one.kind == "llm"])
    found = list(looked_at("team", by_hour(operations)))
    for person in TEAM:
        mine = by_hour(one for one in operations if one.user_id == person.user_id)
        found += looked_at(person.user_id, mine)
    return found


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """Nine months of one developer, from the published Aider log."""
    operations, _ = read_all(importer_for("aider"), shared_path("data/aider_analytics.jsonl.gz"))
    return list(looked_at("aider", by_hour(book_in(tmp_path_factory.mktemp("prices")).price_all(operations))))


def kept_claims(outcomes: list[Outcome]) -> tuple[int, float]:
    """How many claimed ±15 %, and the share of them that were within it."""
    claimed = [one.close for one in outcomes if one.claimed and one.whole > 0]
    return len(claimed), sum(claimed) / max(1, len(claimed))


def wape(outcomes: list[Outcome], *, naive: bool = False) -> float:
    missed = sum(abs((one.naive if naive else one.mean) - one.came) for one in outcomes)
    return missed / sum(one.came for one in outcomes)


def coverage(outcomes: list[Outcome]) -> float:
    return sum(one.held for one in outcomes) / len(outcomes)


def test_budget_forecasting_accuracy(simulated: list[Outcome]) -> None:
    count, kept = kept_claims(simulated)
    assert count >= 200, "something has to be claimed for the claim to be worth anything"
    assert kept >= 0.9
    for horizon in HORIZONS:
        chosen = [one for one in simulated if one.horizon == horizon]
        assert coverage(chosen) >= 0.92, horizon
        assert wape(chosen) < wape(chosen, naive=True), horizon
    assert coverage([one for one in simulated if one.horizon == "day"]) <= 0.99
    team = [one for one in simulated if one.series == "team"]
    weeks = [one for one in team if one.horizon == "week"]
    assert sum(one.close for one in weeks) / len(weeks) >= 0.7


def test_budget_forecasting_accuracy_on_a_developers_own_log(logged: list[Outcome]) -> None:
    """Hard for every method: what matters is that nothing is claimed that does not hold."""
    count, kept = kept_claims(logged)
    assert count <= 0.05 * len(logged)
    assert count == 0 or kept >= 0.9
    assert 0.92 <= coverage(logged) <= 0.99
    days = [one for one in logged if one.horizon == "day"]
    assert wape(days) < 0.9 * wape(days, naive=True)
