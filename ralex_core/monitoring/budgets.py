"""How each budget stands: spent, left, how fast, where its period is heading, when it runs out, how it went before."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from decimal import Decimal
from typing import Literal

from ralex_core.budgeting.budget import Budget
from ralex_core.budgeting.guard import BudgetLevel
from ralex_core.budgeting.periods import past_windows, rolling_step_us, typical_length_us
from ralex_core.config import Settings
from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US, Filters, Scope, Window
from ralex_core.monitoring.projection import Projection, Projector
from ralex_core.monitoring.what_if import MAX_MOVES, Move, cheaper_moves
from ralex_core.pricing.book import PriceBook
from ralex_core.storage.queries import extent
from ralex_core.storage.queries.budgets import BudgetSpend, budget_filters, budget_parts, budget_spend
from ralex_core.storage.telemetry import Store

State = Literal["ok", "warn", "over"]

PAST = {"hour": 24, "day": 14, "week": 8, "month": 6, "rolling": 8}
"""How many past periods a history has."""
FAN_POINTS = 8
COURSE_POINTS = 96
MAX_ALTERNATIVES = 3
_QUARTER = 15 * MINUTE_US


@dataclass(frozen=True, slots=True)
class FanPoint:
    """What will have been spent by a time: the mean, and the 95 % interval around it."""

    at_us: int
    mean_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """One budget in its current period. Money is USD; None is not known."""

    budget: Budget
    window: Window
    now_us: int
    spend: BudgetSpend
    spent_usd: Decimal
    """What counts: known costs, what was reserved where a cost is unknown, and what is settled and not stored yet."""
    held_usd: Decimal
    """Reserved for calls under way."""
    state: State
    """over: the limit is reached; warn: the soft limit is passed, or the period is heading over the limit."""
    burn_usd_per_hour: Decimal
    burn_over_us: int
    projection: Projection | None
    """None with too little history, and for rolling periods, which do not end."""
    fan: list[FanPoint] = field(default_factory=list[FanPoint])
    """From now to the end of the period, where its limit is in reach or it was asked for."""
    runs_out_at_us: int | None = None
    """When the limit will be reached if things go as expected; None: not in this period."""
    may_run_out_at_us: int | None = None
    """When it is reached at the upper end of the interval."""

    @property
    def limit_usd(self) -> Decimal:
        return self.budget.limit_usd

    @property
    def remaining_usd(self) -> Decimal:
        """Neither spent nor held; at least 0."""
        return max(Decimal(0), self.limit_usd - self.spent_usd - self.held_usd)

    @property
    def used_ratio(self) -> float:
        """Spent ÷ limit; more than 1 when it is passed."""
        return float(self.spent_usd / self.limit_usd)


@dataclass(frozen=True, slots=True)
class PastPeriod:
    """A period that is over, measured against the limit as it is now."""

    window: Window
    spent_usd: Decimal
    coverage_ratio: float | None
    kept: bool


@dataclass(frozen=True, slots=True)
class Alternative:
    """A move of work to a cheaper model from now on, and what the period would end at."""

    move: Move
    ends_at_usd: Decimal
    saving_usd: Decimal


class Budgeting:
    """Answers about budgets from one store.

    Args:
        levels: what the guard counts, by budget, when the store is the one it reads; without them the store answers
            alone.
    """

    def __init__(
        self,
        store: Store,
        now_us: int,
        zone: tzinfo,
        levels: Sequence[BudgetLevel] = (),
    ) -> None:
        self._store = store
        self._now_us = now_us
        self._zone = zone
        self._levels = {level.budget.id: level for level in levels}
        self._projector = Projector()  # the way to the end takes a projection for each of its points

    def status(self, budget: Budget, *, whole_fan: bool = False) -> BudgetStatus:
        """How a budget stands. `whole_fan`: give the way to the end even where the limit is out of reach."""
        now = self._now_us
        window = budget.window(now, self._zone)
        spend = budget_spend(self._store, budget, Window(window.start_us, now + 1))
        level = self._levels.get(budget.id)
        known = level is not None and level.budget == budget and level.window == window
        spent = level.spent_usd if level is not None and known else spend.counted_usd
        held = level.reserved_usd if level is not None and known else Decimal(0)
        horizon = burn_horizon_us(budget)
        burnt = budget_spend(self._store, budget, Window(now + 1 - horizon, now + 1)).counted_usd
        burn = burnt * HOUR_US / horizon
        projection = self._project(budget, window, window.end_us)
        room = budget.limit_usd - spent
        fan: list[FanPoint] = []
        if projection is not None and (whole_fan or (room > 0 and projection.high_usd - projection.so_far_usd > room)):
            fan = self._fan(budget, window, projection)
        if budget.period == "rolling":
            runs_out, may_run_out = self._rolling_run_out(budget, burn, room), None
        elif fan:
            ahead = budget.limit_usd - spent + projection.so_far_usd if projection else room
            runs_out = _crossing(now, [(point.at_us, point.mean_usd) for point in fan], ahead)
            may_run_out = _crossing(now, [(point.at_us, point.high_usd) for point in fan], ahead)
        elif projection is None:
            runs_out, may_run_out = _at_rate(now, window, burn, room), None
        else:
            runs_out = may_run_out = None
        state = _state(budget, spent, projection, runs_out)
        if room <= 0:
            runs_out = may_run_out = None  # it has run out
        return BudgetStatus(
            budget=budget,
            window=window,
            now_us=now,
            spend=spend,
            spent_usd=spent,
            held_usd=held,
            state=state,
            burn_usd_per_hour=burn,
            burn_over_us=horizon,
            projection=projection,
            fan=fan,
            runs_out_at_us=runs_out,
            may_run_out_at_us=may_run_out,
        )

    def history(self, budget: Budget) -> list[PastPeriod]:
        """Past periods, oldest first, from the first one in which something is stored."""
        held = extent(self._store)
        if held is None:
            return []
        windows = [
            window
            for window in past_windows(
                budget.period,
                self._now_us,
                budget.zone(self._zone),
                PAST[budget.period],
                rolling_hours=budget.rolling_hours,
            )
            if window.end_us > held[0]
        ][::-1]
        if not windows:
            return []
        bucket = next(size for size in (HOUR_US, _QUARTER, MINUTE_US) if not any(w.start_us % size for w in windows))
        parts = budget_parts(self._store, budget, Window(windows[0].start_us, windows[-1].end_us), bucket)
        found: list[PastPeriod] = []
        for window in windows:
            whole = BudgetSpend()
            for start, part in parts.items():
                if window.start_us <= start < window.end_us:
                    whole.add(part)
            found.append(
                PastPeriod(window, whole.counted_usd, whole.coverage_ratio, whole.counted_usd <= budget.limit_usd)
            )
        return found

    def course(self, budget: Budget) -> list[tuple[int, Decimal]]:
        """What had been spent by each time of the current period: (UTC µs, USD), from its start to now.

        For a rolling period: what the period that ended then had cost.
        """
        now = self._now_us
        window = budget.window(now, self._zone)
        rolling = budget.period == "rolling"
        length = typical_length_us(budget.period, budget.rolling_hours)
        step = rolling_step_us(budget.rolling_hours or 1) if rolling else MINUTE_US
        bucket = max(step, length // COURSE_POINTS // step * step)
        while length % bucket:
            bucket -= step
        start = window.start_us - length if rolling else window.start_us
        parts = budget_parts(self._store, budget, Window(start, now + 1), bucket)
        sums = {at: part.counted_usd for at, part in parts.items()}
        total = Decimal(0)
        found: list[tuple[int, Decimal]] = [] if rolling else [(start, total)]
        for at in range(start // bucket * bucket, now + 1, bucket):
            total += sums.get(at, Decimal(0))
            if rolling:
                total -= sums.get(at - length, Decimal(0))
            end = min(at + bucket, now)
            if end > window.start_us:
                found.append((end, total))
        return found

    def alternatives(
        self, status: BudgetStatus, book: PriceBook, settings: Settings, *, limit: int = MAX_ALTERNATIVES
    ) -> list[Alternative]:
        """Moves to cheaper models that would lower what the period ends at, the most helpful first.

        The share of spend that a move saves is taken from recent work (at least a week of it) and applied to what is
        still to come in the period. Empty without a projection.
        """
        projection = status.projection
        if projection is None or projection.mean_usd <= projection.so_far_usd:
            return []
        back = max(7 * DAY_US, typical_length_us(status.budget.period))
        window = Window(self._now_us + 1 - back, self._now_us + 1)
        budget = status.budget
        recent = budget_spend(self._store, budget, window).cost_usd
        # cheaper models are outside a budget that is for one model or tier, so they are looked for everywhere
        inside = budget.scope in ("model", "tier")
        filters = Filters() if inside else budget_filters(self._store, budget, window)
        if filters is None or not recent:
            return []
        rest = projection.mean_usd - projection.so_far_usd
        found: list[Alternative] = []
        for move in cheaper_moves(self._store, Scope(window, filters), book, settings, limit=MAX_MOVES):
            if inside and not budget.matches(move.from_model if budget.scope == "model" else move.from_tier):
                continue
            if len(found) == limit:
                break
            saving = rest * min(Decimal(1), move.saving_usd / recent)
            found.append(Alternative(move, status.spent_usd + rest - saving, saving))
        return found

    # --- parts -------------------------------------------------------------------------------------------------

    def _project(self, budget: Budget, window: Window, end_us: int) -> Projection | None:
        if budget.period == "rolling":
            return None
        filters = budget_filters(self._store, budget, Window(self._now_us - 100 * DAY_US, self._now_us + 1))
        if filters is None:
            return None
        zone = budget.zone(self._zone)
        return self._projector.project(self._store, filters, Window(window.start_us, end_us), self._now_us, zone)

    def _fan(self, budget: Budget, window: Window, projection: Projection) -> list[FanPoint]:
        """The way from now to the end; sums only grow, so no point is below the one before it."""
        now, end = self._now_us, window.end_us
        so_far = projection.so_far_usd
        points = [FanPoint(now, so_far, so_far, so_far)]
        step = (end - now) // FAN_POINTS
        for number in range(1, FAN_POINTS + 1):
            last = number == FAN_POINTS
            found = projection if last else self._project(budget, window, now + number * step)
            if found is None:
                continue
            before = points[-1]
            points.append(
                FanPoint(
                    end if last else now + number * step,
                    max(before.mean_usd, min(found.mean_usd, projection.mean_usd)),
                    max(before.low_usd, min(found.low_usd, projection.low_usd)),
                    max(before.high_usd, min(found.high_usd, projection.high_usd)),
                )
            )
        return points

    def _rolling_run_out(self, budget: Budget, burn: Decimal, room: Decimal) -> int | None:
        """When a rolling sum reaches the limit at the present rate, what leaves the period considered."""
        hours = budget.rolling_hours or 1
        if not burn or room <= 0:
            return None
        step = max(rolling_step_us(hours), hours * HOUR_US // COURSE_POINTS // MINUTE_US * MINUTE_US)
        window = budget.window(self._now_us, self._zone)
        parts = budget_parts(self._store, budget, Window(window.start_us, self._now_us + 1), step)
        leaving = Decimal(0)
        per_step = burn * step / HOUR_US
        for number in range(1, hours * HOUR_US // step + 1):
            start = (window.start_us + number * step) // step * step - step
            leaving += parts[start].counted_usd if start in parts else Decimal(0)
            if per_step * number - leaving >= room:
                return self._now_us + number * step
        return None


def burn_horizon_us(budget: Budget) -> int:
    """How far back the rate of spending looks: a 24th of the period, at least 15 minutes and at most a day."""
    length = typical_length_us(budget.period, budget.rolling_hours)
    return min(DAY_US, max(_QUARTER, length // 24 // MINUTE_US * MINUTE_US))


def _state(budget: Budget, spent: Decimal, projection: Projection | None, runs_out_at_us: int | None) -> State:
    if spent >= budget.limit_usd:
        return "over"
    passed_soft = budget.soft_usd is not None and spent > budget.soft_usd
    heading_over = projection is not None and projection.mean_usd > budget.limit_usd
    return "warn" if passed_soft or heading_over or runs_out_at_us is not None else "ok"


def _crossing(now_us: int, path: Sequence[tuple[int, Decimal]], limit: Decimal) -> int | None:
    """When a path of sums reaches the limit, straight between its points; None when it does not."""
    for (start, low), (end, high) in itertools.pairwise(path):
        if high >= limit > low:
            return start + int((end - start) * (limit - low) / (high - low))
    return None if not path or path[0][1] < limit else now_us


def _at_rate(now_us: int, window: Window, burn: Decimal, room: Decimal) -> int | None:
    """When what is left is used up at the present rate; None when the period ends before."""
    if not burn or room <= 0:
        return None
    at = now_us + int(room / burn * HOUR_US)
    return at if at < window.end_us else None
