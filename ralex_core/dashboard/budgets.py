"""What is said of budgets: the same for the page, the API and the command line."""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Protocol

from ralex_core.budgeting.budget import Budget
from ralex_core.clock import Clock
from ralex_core.config import Settings
from ralex_core.dashboard.contexts.budgets import (
    AlternativeView,
    BudgetCourse,
    BudgetDetail,
    BudgetsView,
    BudgetView,
    PastPeriodView,
    ProjectionView,
)
from ralex_core.dashboard.problems import not_found
from ralex_core.dashboard.questions import Pool, Remembered
from ralex_core.model.window import DAY_US, MINUTE_US
from ralex_core.monitoring.budget_keeper import BudgetKeeper
from ralex_core.monitoring.budgets import Alternative, Budgeting, BudgetStatus, FanPoint, PastPeriod
from ralex_core.monitoring.projection import Projection
from ralex_core.pricing.book import PriceBook
from ralex_core.render import to_iso, usd
from ralex_core.storage.state_budgets import MAX_BUDGETS
from ralex_core.storage.telemetry import Store

REMEMBER_S = 2.0
PATH = "/budgets"
NINE_DIGITS = Decimal(1).scaleb(-9)
"""What is worked out, and not counted, is told to a billionth of a dollar."""
_STATES = ("over", "warn", "ok")


class BudgetHost(Protocol):
    """What is asked of the process that has the budgets: part of `dashboard.host.Host`."""

    @property
    def settings(self) -> Settings: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def book(self) -> PriceBook: ...

    @property
    def budgets(self) -> BudgetKeeper: ...

    @property
    def demo_active(self) -> bool: ...

    def active_store(self) -> Store: ...


class Budgets:
    """Answers about budgets from the data that is shown, each remembered for a moment."""

    def __init__(self, host: BudgetHost, pool: Pool, zone: tzinfo) -> None:
        self._host = host
        self._pool = pool
        self._zone = zone
        self._answers = Remembered(host.clock, REMEMBER_S, entries=2 * MAX_BUDGETS)

    def forget(self) -> None:
        """A budget was changed, or other data is shown from now on."""
        self._answers.forget()

    def view(self) -> BudgetsView:
        """All budgets, those in trouble first."""
        asked = [(budget, self._pool.ask(functools.partial(self._one, budget))) for budget in self._host.budgets.all()]
        found = [answer.result() for _, answer in asked]
        found.sort(key=lambda view: _STATES.index(view.state))
        return BudgetsView(found)

    def detail(self, budget_id: str) -> BudgetDetail:
        """One budget in full.

        Raises:
            RequestProblem: 404, there is none.
        """
        budget = self.budget(budget_id)
        return self._answers.get((self._host.demo_active, "detail", budget), functools.partial(self._full, budget))

    def budget(self, budget_id: str) -> Budget:
        """The budget of an id.

        Raises:
            RequestProblem: 404, there is none.
        """
        budget = self._host.budgets.get(budget_id)
        if budget is None:
            raise not_found(f"There is no budget {budget_id[:40]!r}. GET /api/v1/budgets lists them.")
        return budget

    def _answering(self) -> Budgeting:
        demo = self._host.demo_active
        levels = () if demo else self._host.budgets.guard.levels()
        return Budgeting(self._host.active_store(), self._host.clock.now_us(), self._zone, levels)

    def _one(self, budget: Budget) -> BudgetView:
        def ask() -> BudgetView:
            answers = self._answering()
            return self._view(answers.status(budget), answers.history(budget))

        return self._answers.get((self._host.demo_active, "one", budget), ask)

    def _full(self, budget: Budget) -> BudgetDetail:
        answers = self._answering()
        status = answers.status(budget, whole_fan=True)
        alternatives = answers.alternatives(status, self._host.book, self._host.settings)
        return BudgetDetail(
            budget=self._view(status, answers.history(budget)),
            course=course_view(status, answers.course(budget)),
            alternatives=[_alternative(status, alternative) for alternative in alternatives],
        )

    def _view(self, status: BudgetStatus, history: Sequence[PastPeriod]) -> BudgetView:
        budget, window = status.budget, status.window
        return BudgetView(
            id=budget.id,
            name=budget.name,
            scope=budget.scope,
            value=budget.value,
            period=budget.period,
            rolling_hours=budget.rolling_hours,
            timezone=budget.timezone,
            soft_usd=budget.soft_usd,
            hard_usd=budget.hard_usd,
            limit_usd=budget.limit_usd,
            built_in=budget.built_in,
            period_start_at=to_iso(window.start_us) or "",
            period_start_us=window.start_us,
            period_end_at=to_iso(window.end_us) or "",
            period_end_us=window.end_us,
            state=status.state,
            sentence=sentence(status, self._zone),
            spent_usd=status.spent_usd,
            cost_usd=status.spend.cost_usd,
            at_reserve_usd=status.spend.at_reserve_usd,
            held_usd=status.held_usd,
            remaining_usd=status.remaining_usd,
            used_ratio=status.used_ratio,
            operations=status.spend.billable,
            coverage_ratio=status.spend.coverage_ratio,
            burn_usd_per_hour=status.burn_usd_per_hour.quantize(NINE_DIGITS),
            burn_over_s=status.burn_over_us / 1e6,
            projection=None if status.projection is None else _projection(status.projection),
            runs_out_at=to_iso(status.runs_out_at_us),
            runs_out_us=status.runs_out_at_us,
            may_run_out_at=to_iso(status.may_run_out_at_us),
            may_run_out_us=status.may_run_out_at_us,
            history=[_past(budget, past) for past in history],
            kept=sum(past.kept for past in history),
        )


def _projection(projection: Projection) -> ProjectionView:
    trial = projection.backtest
    return ProjectionView(
        mean_usd=projection.mean_usd,
        low_usd=projection.low_usd,
        high_usd=projection.high_usd,
        naive_usd=projection.naive_usd,
        method=projection.method,
        tried=trial.origins,
        error_ratio=trial.wape,
        naive_error_ratio=trial.naive_wape,
        within_15_earned=projection.within_15_earned,
    )


def _past(budget: Budget, past: PastPeriod) -> PastPeriodView:
    return PastPeriodView(
        start_at=to_iso(past.window.start_us) or "",
        start_us=past.window.start_us,
        end_at=to_iso(past.window.end_us) or "",
        spent_usd=past.spent_usd,
        used_ratio=float(past.spent_usd / budget.limit_usd),
        coverage_ratio=past.coverage_ratio,
        kept=past.kept,
    )


# --- sentences ------------------------------------------------------------------------------------------------------


def period_name(budget: Budget) -> str:
    """`The day`, `The last 24 hours`."""
    return f"The last {budget.rolling_hours} hours" if budget.period == "rolling" else f"The {budget.period}"


def when(moment_us: int, now_us: int, zone: tzinfo) -> str:
    """A time to come as people say it: `17:40`, `tomorrow 09:15`, `Fri 3 Jul 09:15`."""
    moment, now = (datetime.fromtimestamp(at / 1e6, zone) for at in (moment_us, now_us))
    if moment.date() == now.date():
        return f"{moment:%H:%M}"
    if moment.date() == now.date() + timedelta(days=1):
        return f"tomorrow {moment:%H:%M}"
    return f"{moment:%a} {moment.day} {moment:%b %H:%M}"


def sentence(status: BudgetStatus, zone: tzinfo) -> str:
    """How a budget stands, in one or two sentences."""
    budget, now = status.budget, status.now_us
    place = budget.zone(zone)
    if status.state == "over":
        return _over(status, when(status.window.end_us, now, place))
    parts: list[str] = []
    if status.projection is not None:
        heading = "is heading for" if status.window.end_us > now else "ended at"
        interval = f" ({usd(status.projection.low_usd)} to {usd(status.projection.high_usd)})"
        parts.append(f"{period_name(budget)} {heading} {usd(ends_at(status))}{interval}.")
    elif budget.period == "rolling":
        parts.append(f"{usd(status.burn_usd_per_hour)} an hour just now.")
    else:
        parts.append(f"Too little history for a forecast; {usd(status.burn_usd_per_hour)} an hour just now.")
    if status.runs_out_at_us is not None:
        parts.append(f"The limit is reached at about {when(status.runs_out_at_us, now, place)}.")
    elif status.may_run_out_at_us is not None:
        parts.append(f"It may be reached, at {when(status.may_run_out_at_us, now, place)} at the earliest.")
    elif budget.soft_usd is not None and status.spent_usd > budget.soft_usd:
        parts.append(f"The soft limit of {usd(budget.soft_usd)} is passed.")
    return " ".join(parts)


def ends_at(status: BudgetStatus) -> Decimal:
    """What the period is expected to end at, with what is counted beyond stored costs."""
    projection = status.projection
    assert projection is not None  # noqa: S101 - callers ask only where there is one
    return max(status.spent_usd, projection.mean_usd)


def _over(status: BudgetStatus, until: str) -> str:
    budget = status.budget
    beyond = status.spent_usd - status.limit_usd
    passed = f"The limit is passed by {usd(beyond)}" if beyond > 0 else "The limit is reached"
    if budget.hard_usd is None:
        return f"{passed}."
    if budget.period == "rolling":
        return f"{passed}: calls through a guard are refused until older ones leave the period."
    return f"{passed}: calls through a guard are refused until {until}."


def _alternative(status: BudgetStatus, alternative: Alternative) -> AlternativeView:
    move = alternative.move
    what = move.key or "work without a name"
    period = status.budget.period
    text = (
        f"At this rate the {period} ends at {usd(ends_at(status))}; moving {what} from {move.from_model} to "
        f"{move.to_model} ({move.to_tier}) ends at {usd(alternative.ends_at_usd)}."
    )
    return AlternativeView(
        sentence=text,
        evidence=move.evidence,
        key=move.key,
        from_model=move.from_model,
        to_model=move.to_model,
        to_tier=move.to_tier,
        ends_at_usd=alternative.ends_at_usd.quantize(NINE_DIGITS),
        saving_usd=alternative.saving_usd.quantize(NINE_DIGITS),
        worse=move.worse,
    )


# --- the chart ------------------------------------------------------------------------------------------------------

_POINTS = 120


def course_view(status: BudgetStatus, course: Sequence[tuple[int, Decimal]]) -> BudgetCourse:
    """Spending of the period and its forecast at even times from start to end."""
    start, now = status.window.start_us, status.now_us
    end = now if status.budget.period == "rolling" else status.window.end_us
    step = _step(end - start)
    starts = list(range(start, end + step, step))
    fan = status.fan
    first = starts[bisect_right(starts, now) - 1] if fan else 0
    return BudgetCourse(
        bucket_us=step,
        starts=starts,
        # the last point is what is spent now, so that chart and figures say the same
        spent=[None if at > now else _at(course, now if at + step > now else at) for at in starts],
        mean=_expected(fan, starts, first, now, "mean_usd"),
        low=_expected(fan, starts, first, now, "low_usd"),
        high=_expected(fan, starts, first, now, "high_usd"),
    )


def _expected(fan: Sequence[FanPoint], starts: Sequence[int], first: int, now: int, name: str) -> list[float | None]:
    path: list[tuple[int, Decimal]] = [(point.at_us, getattr(point, name)) for point in fan]
    return [_at(path, max(at, now)) if fan and at >= first else None for at in starts]


def _step(length_us: int) -> int:
    """A round step that cuts a period into at most `_POINTS`."""
    minutes = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)
    return next((m * MINUTE_US for m in minutes if length_us <= m * MINUTE_US * _POINTS), 7 * DAY_US)


def _at(path: Sequence[tuple[int, Decimal]], at_us: int) -> float | None:
    """The value of a path at a time, straight between its points; its ends hold beyond them."""
    if not path:
        return None
    place = bisect_right(path, at_us, key=lambda point: point[0])
    if place == 0 or place == len(path):
        return float(path[min(place, len(path) - 1)][1])
    (start, low), (end, high) = path[place - 1], path[place]
    return float(low) + float(high - low) * (at_us - start) / (end - start)
