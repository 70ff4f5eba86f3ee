"""The costs page: its figures in words, the links that change what is shown, and what its charts are drawn from."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

from fastapi import APIRouter, Request
from starlette.responses import Response

from ralex_core.dashboard.contexts.costs import (
    CacheView,
    CostsPage,
    Fact,
    LossView,
    RoiMark,
    RoiScale,
    RoiTick,
    RoiView,
    WorthView,
)
from ralex_core.dashboard.contexts.frame import Choice
from ralex_core.dashboard.costs import DIMENSIONS, PATH, VALUE_MODELS, Asked, Costs, read_asked
from ralex_core.dashboard.forecast_page import forecast_cards
from ralex_core.dashboard.params import SCOPE_PARAMS, href, require_known
from ralex_core.dashboard.questions import Pool
from ralex_core.dashboard.site import Site, query_of
from ralex_core.monitoring.value import ValueModel
from ralex_core.monitoring.what_if import used_models
from ralex_core.render import count, percent, ratio, usd
from ralex_core.storage.telemetry import Store

PARAMS = (*SCOPE_PARAMS, "by", "baseline", "value")
MAX_BASELINES = 40
COVERAGE_WARN = 0.9
VALUE_HELP = {
    "baseline": "What the successful work would have cost on the baseline model",
    "time_saved": "The minutes that successful operations save, at the hourly rate",
    "explicit": "What callers reported successful operations to be worth",
}
_MARGIN = 3.0
"""Percent of the width left free at both ends of the scale."""


def page_of(panels: Costs, pool: Pool, store: Store, asked: Asked) -> CostsPage:
    """Everything the page shows."""
    roi = pool.ask(lambda: panels.roi(asked))
    cache = pool.ask(lambda: panels.cache(asked))
    units = pool.ask(lambda: panels.units(asked))
    moves = pool.ask(lambda: panels.moves(asked))
    breakdown = panels.breakdown(asked)
    losses = panels.losses(asked)
    judged, told = roi.result(), cache.result()
    view = asked.view
    models = [
        f"{provider}/{model}" if provider else model for (provider, model), _, _ in used_models(store, view.scope)
    ]
    chosen = breakdown.judged_by
    return CostsPage(
        empty=breakdown.total.worth.calls == 0,
        roi=judged,
        scale=scale_of(judged),
        compared=_compared(judged),
        facts=_facts(breakdown.total.worth, judged, told, losses, view.query),
        title=DIMENSIONS[asked.by][1],
        tabs=[
            Choice(key, title, _link(replace(asked, by=key)), key == asked.by) for key, (_, title) in DIMENSIONS.items()
        ],
        value_models=[
            Choice(key, title, _link(replace(asked, value_model=cast("ValueModel", key))), key == chosen.value_model)
            for key, title in VALUE_MODELS.items()
        ],
        breakdown=breakdown,
        claims=panels.claims(asked),
        losses=losses,
        cache=told,
        savings=panels.savings(asked),
        moves=moves.result(),
        spend=panels.spend(asked),
        units=units.result(),
        baselines=list(dict.fromkeys([chosen.model, *models]))[:MAX_BASELINES],
        hidden=[*view.pairs(), *(pair for pair in asked.pairs() if pair[0] != "baseline")],
        reset_href=None if chosen.configured else _link(replace(asked, baseline=None)),
    )


def _link(asked: Asked) -> str:
    return href(PATH, [*asked.view.pairs(), *asked.pairs()])


def _compared(roi: RoiView) -> str:
    """With what the successful work was compared."""
    worth, judged = roi.total.worth, roi.judged_by
    if judged.value_model != "baseline":
        return f"{count(worth.valued)} operations carry a value." if worth.valued else ""
    parts = [
        f"{count(number)} {what}"
        for number, what in (
            (worth.matched, f"with what {judged.model} spent on the same task"),
            (worth.same_usage, f"with their own tokens at the price of {judged.model}"),
            (worth.not_compared, "not at all"),
        )
        if number
    ]
    return f"Calls compared: {', '.join(parts)}." if parts else ""


def _facts(worth: WorthView, roi: RoiView, cache: CacheView, losses: list[LossView], query: str) -> list[Fact]:
    """The seven tiles, in their fixed order."""
    total = roi.total
    lost = next(row for row in losses if row.key == "any")
    operations = f"/operations?{query}&kind=llm"
    low = worth.coverage_ratio is not None and worth.coverage_ratio < COVERAGE_WARN
    interval = (
        "no interval" if total.low_ratio is None else f"95 %: {ratio(total.low_ratio)} – {ratio(total.high_ratio)}"
    )
    return [
        Fact(
            "spent",
            "Spent",
            usd(worth.cost_usd) if worth.priced else usd(None),
            "",
            f"{percent(worth.coverage_ratio)} of {count(worth.calls)} calls known" if worth.calls else "no calls",
            "The sum of every call whose cost is known; beside it the share of calls that is.",
            operations,
            "warn" if low else "neutral",
        ),
        Fact(
            "value",
            "Value",
            usd(worth.value_usd),
            "",
            (worth.roi_reason if worth.calls else "no calls") or VALUE_MODELS[roi.judged_by.value_model].lower(),
            f"{VALUE_HELP[roi.judged_by.value_model]}.",
        ),
        Fact(
            "roi",
            "Value per $1",
            ratio(worth.roi_ratio),
            "",
            (worth.roi_reason if worth.calls else "no calls") or total.interval_reason or interval,
            "Value ÷ cost of all calls, failed and rejected ones too; with its interval over sessions.",
        ),
        Fact(
            "success",
            "Per success",
            usd(worth.cost_per_success_usd),
            "",
            f"{count(worth.successes)} calls succeeded",
            "Cost of all calls ÷ calls that ended well and were not turned down.",
        ),
        Fact(
            "call",
            "Per call",
            usd(worth.cost_per_call_usd),
            "",
            f"{count(worth.priced)} known",
            "Cost ÷ calls of known cost.",
            f"{operations}&sort=cost_usd&dir=desc",
        ),
        Fact(
            "lost",
            "For nothing",
            usd(lost.cost_usd if worth.calls else None),
            "",
            f"{percent(lost.share_ratio)} of the spending" if worth.calls else "no calls",
            "Failed and cancelled calls, later attempts, and results that were turned down; each once.",
        ),
        Fact(
            "cache",
            "Caches saved",
            usd(cache.saved_usd),
            "",
            "no call tells" if cache.reason else f"{usd(cache.lost_usd)} lost to misses, at most",
            "What tokens read from a cache would have cost more, less what writing cost more.",
        ),
    ]


def scale_of(roi: RoiView) -> RoiScale:
    """Ratios and intervals on one logarithmic scale that holds all of them, break-even and, when near, the goal."""
    rows = [roi.total, *roi.tiers]
    known = [
        value
        for row in rows
        for value in (row.worth.roi_ratio, row.low_ratio, row.high_ratio)
        if value is not None and value > 0
    ]
    if not known:
        return RoiScale([RoiMark(row, None, None, None) for row in rows], [])
    goal = roi.proof.goal_ratio
    low, high = math.log(min([*known, 1.0])), math.log(max([*known, 1.0, goal]))
    width = max(high - low, 1e-9)

    def place(value: float | None) -> float | None:
        if value is None:
            return None
        share = (math.log(max(value, math.exp(low))) - low) / width
        return round(_MARGIN + share * (100 - 2 * _MARGIN), 2)

    ticks = [
        RoiTick(cast(float, place(value)), label) for value, label in ((1.0, "break-even"), (goal, f"goal {goal:g}×"))
    ]
    marks = [RoiMark(row, place(row.worth.roi_ratio), place(row.low_ratio), place(row.high_ratio)) for row in rows]
    return RoiScale(marks, ticks)


def _drawn(shown: CostsPage) -> dict[str, object]:
    """What the page's scripts draw from; the rest is in the page already, as HTML."""
    worth = shown.breakdown.total.worth
    whole = {
        "success": worth.cost_per_success_usd,
        "call": worth.cost_per_call_usd,
        "efficiency": worth.efficiency_ratio,
        "coverage": worth.coverage_ratio,
    }
    return {"spend": shown.spend, "units": shown.units, "whole": whole}


def costs_pages(router: APIRouter, site: Site) -> None:
    """The route of the page."""

    @router.get(PATH)
    def costs(request: Request) -> Response:
        query = query_of(request)
        require_known(query, PARAMS)
        asked = read_asked(site.view(query), query)
        shown = page_of(site.costs, site.pool, site.host.active_store(), asked)
        return site.page(
            request,
            "costs.html",
            page="costs",
            title="Costs",
            context={
                "costs": shown,
                "value_help": VALUE_HELP,
                "forecasts": [] if shown.empty else forecast_cards(site, asked.view.filters),
            },
            boot={"costs": _drawn(shown)},
            view=asked.view,
            extra=asked.pairs(),
        )
