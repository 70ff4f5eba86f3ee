"""Answers about costs as the rows, figures and sentences that pages, API and command line show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from ralex_core.dashboard.contexts.costs import (
    BaselineView,
    CachedModelView,
    CacheView,
    ClaimsView,
    LossView,
    MoveView,
    Proof,
    RoiView,
    SavingView,
    SpentView,
    TierRoi,
    UnitSeries,
    WorthView,
)
from ralex_core.dashboard.contexts.rows import Basis
from ralex_core.dashboard.figures import UNKNOWN_LABEL, basis_view, drift_view, starts_of
from ralex_core.dashboard.params import FILTER_FIELDS, View, href
from ralex_core.model.window import Window
from ralex_core.monitoring.cache import CacheSavings
from ralex_core.monitoring.savings import Saving
from ralex_core.monitoring.value import Roi, Valuation, Worth
from ralex_core.monitoring.what_if import Move
from ralex_core.render import percent, ratio, usd
from ralex_core.storage.queries import DriftRow, Totals
from ralex_core.storage.queries.costs import Loss, Losses, SpentRow

OPERATIONS = "/operations"
_NAMED = {"operation": "name", "provider": "provider", "feature": "feature"}
"""Dimensions that the table of operations, and no other page, can be narrowed by → its parameter."""


def worth_view(worth: Worth) -> WorthView:
    return WorthView(
        calls=worth.calls,
        priced=worth.priced,
        coverage_ratio=worth.coverage_ratio,
        successes=worth.successes,
        cost_usd=worth.cost_usd,
        cost_per_call_usd=worth.cost_per_call_usd,
        cost_per_success_usd=worth.cost_per_success_usd,
        baseline_usd=worth.baseline_usd,
        efficiency_ratio=worth.efficiency_ratio,
        efficiency_reason=worth.efficiency_reason,
        value_usd=worth.value_usd,
        roi_ratio=worth.roi_ratio,
        roi_reason=worth.roi_reason,
        matched=worth.matched,
        same_usage=worth.same_usage,
        not_compared=worth.not_compared,
        compared_ratio=worth.compared_ratio,
        valued=worth.valued,
    )


def baseline_view(how: Valuation) -> BaselineView:
    baseline = how.baseline
    used = bool(baseline.used_as)
    return BaselineView(how.model, how.problem, baseline.model, baseline.stored, baseline.price_problem, used)


def narrowed(view: View, by: str, key: str | None) -> str:
    """The operations of one value of a dimension."""
    if by in FILTER_FIELDS:
        pairs = [pair for pair in view.pairs() if pair[0] != by] + [(by, key or "")]
    else:
        pairs = [*view.pairs(), (_NAMED[by], key or "")]
    return href(OPERATIONS, [*pairs, ("kind", "llm")])


def spent_view(row: SpentRow, worth: Worth | None, total: SpentRow, by: str, view: View) -> SpentView:
    """A row of a breakdown. `by` is a dimension, `other` or `total`; without its worth only the ledger is known."""
    known = worth is not None and worth.calls > 0
    single = by not in ("other", "total")
    label = {"other": "Others", "total": "All"}.get(by) or row.key or UNKNOWN_LABEL
    link = None if by == "other" else href(OPERATIONS, [*view.pairs(), ("kind", "llm")])
    ledger = WorthView(
        calls=row.calls,
        priced=row.priced,
        coverage_ratio=row.priced / row.calls if row.calls else None,
        successes=row.successes,
        cost_usd=row.cost_usd,
        cost_per_call_usd=row.cost_usd / row.priced if row.priced else None,
        cost_per_success_usd=row.cost_usd / row.successes if row.successes and row.priced else None,
        baseline_usd=worth.baseline_usd if worth and known else None,
        efficiency_ratio=worth.efficiency_ratio if worth and known else None,
        efficiency_reason=worth.efficiency_reason if worth and known else _no_worth(by),
        value_usd=worth.value_usd if worth and known else None,
        roi_ratio=worth.roi_ratio if worth and known else None,
        roi_reason=worth.roi_reason if worth and known else _no_worth(by),
        matched=worth.matched if worth else 0,
        same_usage=worth.same_usage if worth else 0,
        not_compared=worth.not_compared if worth else 0,
        compared_ratio=worth.compared_ratio if worth else None,
        valued=worth.valued if worth else 0,
    )
    unknown = row.calls - row.billed - row.computed - row.reported
    return SpentView(
        key=row.key or "",
        label=label,
        tier=row.key if by == "tier" else None,
        share_ratio=float(row.cost_usd / total.cost_usd) if total.cost_usd else None,
        errors=row.errors,
        basis=Basis(row.billed, row.computed, row.reported, unknown),
        worth=ledger,
        href=narrowed(view, by, row.key) if single else link,
    )


def _no_worth(by: str) -> str:
    if by == "other":
        return "what the others are worth together is not asked for"
    return "single operations are no longer kept, only their sums"


def roi_view(found: Roi, goal: float, view: View) -> RoiView:
    return RoiView(
        judged_by=baseline_view(found.valuation),
        proof=proof(found.total, found.valuation, goal),
        total=_tier_roi(found.total, "All", href(OPERATIONS, [*view.pairs(), ("kind", "llm")])),
        tiers=[_tier_roi(tier, tier.key or UNKNOWN_LABEL, narrowed(view, "tier", tier.key)) for tier in found.tiers],
    )


def _tier_roi(worth: Worth, label: str, link: str) -> TierRoi:
    low, high = worth.interval or (None, None)
    return TierRoi(worth.key or "", label, low, high, worth.interval_reason, worth.clusters, worth_view(worth), link)


def proof(worth: Worth, how: Valuation, goal: float) -> Proof:
    """Whether a dollar brings the goal, in one sentence with its interval."""
    goal_text = f"“${goal:,.0f} of work for $1”" if goal == round(goal) else f"“${goal:,.2f} of work for $1”"
    if worth.roi_ratio is None:
        return Proof(goal, "unknown", f"{goal_text} cannot be judged: {worth.roi_reason}.", "unknown")
    what = {
        "baseline": f"work that would have cost {{}} on {how.baseline.model}",
        "time_saved": "saved time worth {}",
        "explicit": "results that were said to be worth {}",
    }[how.model].format(usd(worth.roi_ratio))
    least = "at least " if worth.not_compared and how.model == "baseline" else ""
    found = f"Every $1 bought {least}{what}"
    if worth.interval is None:
        return Proof(goal, "open", f"{found}; {goal_text} is open: {worth.interval_reason}.", "neutral")
    low, high = worth.interval
    interval = f"95 % interval {usd(low)} to {usd(high)}"
    if low >= goal:
        return Proof(goal, "proved", f"{found} ({interval}): {goal_text} is proved.", "good")
    if high < goal:
        if least:
            return Proof(goal, "open", f"{found} ({interval}); {goal_text} is open: {_uncompared(worth)}.", "neutral")
        return Proof(goal, "refuted", f"{found} ({interval}): {goal_text} is refuted.", "neutral")
    return Proof(goal, "open", f"{found} ({interval}): {goal_text} is neither proved nor refuted.", "neutral")


def _uncompared(worth: Worth) -> str:
    return f"only {percent(worth.compared_ratio)} of successful calls could be compared"


def what_if_sentence(worth: Worth, how: Valuation) -> str:
    """What the same work would have cost at the baseline, against what it did cost."""
    model = how.baseline.model
    if worth.baseline_usd is None or worth.efficiency_ratio is None:
        return f"What the work would have cost on {model} cannot be said: {worth.efficiency_reason}."
    times = ratio(worth.efficiency_ratio)
    text = (
        f"The successful work would have cost {usd(worth.baseline_usd)} on {model}; all work cost {usd(worth.cost_usd)}"
    )
    rest = f", {_uncompared(worth)}" if worth.not_compared else ""
    return f"{text} ({times}{rest})."


def unit_series(found: Mapping[int, Worth], window: Window, bucket_us: int) -> UnitSeries:
    starts = starts_of(window, bucket_us)
    rows = [found.get(start) for start in starts]
    return UnitSeries(
        bucket_us,
        starts,
        calls=[row.calls if row else 0 for row in rows],
        cost_usd=[_number(row.cost_usd) or 0.0 if row else 0.0 for row in rows],
        cost_per_call_usd=[_number(row.cost_per_call_usd) if row else None for row in rows],
        cost_per_success_usd=[_number(row.cost_per_success_usd) if row else None for row in rows],
        efficiency_ratio=[row.efficiency_ratio if row else None for row in rows],
        coverage_ratio=[row.coverage_ratio if row else None for row in rows],
    )


def _number(value: Decimal | None) -> float | None:
    return None if value is None else round(float(value), 9)


def cache_view(found: CacheSavings, view: View) -> CacheView:
    return CacheView(
        calls=found.calls,
        told=found.told,
        read_ratio=found.read_ratio,
        saved_usd=found.saved_usd,
        read_saved_usd=found.read_saved_usd,
        write_extra_usd=found.write_extra_usd,
        missed_tokens=found.missed_tokens,
        missed_after_pause_tokens=found.missed_after_pause_tokens,
        lost_usd=found.lost_usd,
        lost_after_pause_usd=found.lost_after_pause_usd,
        models=[
            CachedModelView(
                one.model,
                one.read_tokens,
                one.written_tokens,
                one.saved_usd,
                one.lost_usd,
                narrowed(view, "model", one.model),
            )
            for one in found.models
        ],
        reason=found.reason,
    )


def loss_views(found: Losses, view: View) -> list[LossView]:
    """Failed, cancelled, retried and turned down calls, and all of them once."""
    total = found.total.cost_usd

    def row(key: str, label: str, loss: Loss, *pairs: tuple[str, str]) -> LossView:
        return LossView(
            key=key,
            label=label,
            calls=loss.calls,
            priced=loss.priced,
            cost_usd=loss.cost_usd if loss.priced or not loss.calls else None,
            share_ratio=float(loss.cost_usd / total) if total and loss.priced else None,
            href=href(OPERATIONS, [*view.pairs(), ("kind", "llm"), *pairs]) if pairs and loss.calls else None,
        )

    return [
        row("failed", "Failed calls", found.failed, ("status", "error")),
        row("cancelled", "Cancelled calls", found.cancelled, ("status", "cancelled")),
        row("retries", "Second and later attempts", found.retries),
        row("turned_down", "Results turned down or reworked", found.turned_down),
        row("any", "Each of these once", found.any),
    ]


def move_view(move: Move, view: View) -> MoveView:
    by = "operation" if move.by == "name" else "feature"
    link = narrowed(view, by, move.key)
    return MoveView(
        key=move.key or "",
        label=move.key or UNKNOWN_LABEL,
        by=by,
        from_tier=move.from_tier,
        from_model=move.from_model,
        to_tier=move.to_tier,
        to_model=move.to_model,
        calls=move.calls,
        other_calls=move.other_calls,
        cost_usd=move.cost_usd,
        moved_usd=move.moved_usd,
        saving_usd=move.saving_usd,
        net_saving_usd=move.net_saving_usd,
        from_success_ratio=move.from_rate.ratio,
        to_success_ratio=move.to_rate.ratio,
        lost_successes=move.lost_successes,
        worse=move.worse,
        evidence=move.evidence,
        href=f"{link}&{href('', [('model', move.from_model)])[1:]}",
    )


def saving_view(saving: Saving) -> SavingView:
    return SavingView(saving.kind, saving.priority, saving.title, saving.evidence, saving.saving_usd)


def claims_view(rows: Sequence[DriftRow], whole: Totals, view: View) -> ClaimsView:
    """What each witness says; an amount is None when no call has that claim in any model."""

    def amount(name: str) -> Decimal | None:
        total = sum((getattr(row, name) for row in rows), Decimal(0))
        return total or None

    tone_rows = [drift_view(row) for row in rows if row.drift_reported_usd or row.drift_billed_usd]
    return ClaimsView(
        billed_usd=amount("billed_usd"),
        computed_usd=amount("computed_usd"),
        reported_usd=amount("reported_usd"),
        basis=basis_view(whole.basis),
        quarantined=whole.quarantined_count,
        quarantined_usd=whole.quarantined_usd,
        quarantine_href=href(OPERATIONS, [*view.pairs(), ("quarantined", "1")]),
        models=tone_rows,
    )
