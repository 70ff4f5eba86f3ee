"""The overview in words and tiles: the sentence that says how things are, and the seven figures below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from ralex_core.dashboard.contexts.frame import Tone
from ralex_core.dashboard.contexts.overview import Change, Phrase, Tile
from ralex_core.dashboard.contexts.rows import LatencySeries, TodayView, TotalsView
from ralex_core.render import UNKNOWN, count, duration, percent, rate, ratio, usd
from ralex_core.storage.queries import UsageBucket

SPARK_POINTS = 40
SPLIT_SHOWN = 2
"""A tile has room for the two commonest cost bases; its help names all."""
USUAL = 0.2
"""A figure within 20 % of the period before is as usual: less is noise on most days."""
NOTICEABLE = 0.05
"""A smaller change is shown, but not coloured."""
ERRORS_BAD = 0.05
COVERAGE_WARN = 0.9


def headline(
    today: TodayView, totals: TotalsView, before: TotalsView | None, range_label: str, quarantine_href: str
) -> list[Phrase]:
    """The sentence, in parts that carry their own punctuation."""
    phrases = [_money(today, totals, range_label)]
    if not totals.operations:
        return [*phrases, Phrase("nothing ran in this range.", "unknown")]
    phrases.append(_speed(totals, before))
    phrases.append(_errors(totals))
    if totals.coverage_ratio is not None and totals.coverage_ratio < 1:
        tone: Tone = "warn" if totals.coverage_ratio < COVERAGE_WARN else "neutral"
        phrases.append(Phrase(f"the cost of {percent(totals.coverage_ratio)} of calls is known;", tone))
    if totals.quarantined_count:
        claims = "1 claim is" if totals.quarantined_count == 1 else f"{count(totals.quarantined_count)} claims are"
        phrases.append(Phrase(f"{claims} quarantined;", "warn", quarantine_href))
    last = phrases[-1]
    return [*phrases[:-1], Phrase(last.text.rstrip(";") + ".", last.tone, last.href)]


def _money(today: TodayView, totals: TotalsView, range_label: str) -> Phrase:
    text = f"{usd(today.cost_usd)} today"
    tone: Tone = "neutral"
    if today.budget_usd is not None:
        text = f"{usd(today.cost_usd)} of {usd(today.budget_usd)} today"
        tone = _budget_tone(today)
    if today.projected_usd is not None and today.projected_usd > today.cost_usd:
        text += f", on course for {usd(today.projected_usd)}"
    if not today.cost_usd and totals.cost_usd:
        text += f", {usd(totals.cost_usd)} in this range ({range_label.lower()})"
    return Phrase(text + ";", tone)


def _budget_tone(today: TodayView) -> Tone:
    if today.budget_usd is None:
        return "neutral"
    if today.cost_usd > today.budget_usd:
        return "bad"
    return "warn" if (today.projected_usd or today.cost_usd) > today.budget_usd else "good"


def _speed(totals: TotalsView, before: TotalsView | None) -> Phrase:
    if totals.p95_ms is None:
        return Phrase("no call was timed;", "unknown")
    text = f"p95 {duration(totals.p95_ms)}"
    moved = _moved(totals.p95_ms, before.p95_ms if before else None)
    if moved is None:
        return Phrase(f"{text};")
    if abs(moved) <= USUAL:
        return Phrase(f"{text}, as usual;")
    if moved > 0:
        return Phrase(f"{text}, {_signed(moved)} slower than before;", "warn")
    return Phrase(f"{text}, {_signed(-moved)} faster than before;", "good")


def _errors(totals: TotalsView) -> Phrase:
    if not totals.errors:
        return Phrase("no errors;", "good")
    text = f"{percent(totals.error_ratio)} of operations failed;"
    return Phrase(text, "bad" if (totals.error_ratio or 0) >= ERRORS_BAD else "neutral")


def tiles(
    today: TodayView,
    totals: TotalsView,
    before: TotalsView | None,
    usage: Sequence[UsageBucket | None],
    latency: LatencySeries,
    query: str,
    range_label: str,
) -> list[Tile]:
    """The seven tiles, in their fixed order. `usage` has one entry per bucket of the charts, None where empty."""
    operations = f"/operations?{query}"
    return [
        _spend_tile(today, totals, usage, range_label, operations),
        Tile(
            key="efficiency",
            title="Value per $1",
            value=ratio(totals.efficiency_ratio),
            unit="",
            number=totals.efficiency_ratio,
            number_unit="ratio",
            detail=_worth(totals),
            help="What the successful calls would have cost on the baseline model, per dollar spent on all calls.",
            change=_change(totals.efficiency_ratio, before and before.efficiency_ratio, "up"),
            previous=before and before.efficiency_ratio,
            good="up",
            spark=_spark(usage, lambda b: float(b.baseline_success_usd / b.cost_usd) if b.cost_usd else None),
            href=f"/costs?{query}",
        ),
        Tile(
            key="rate",
            title="Operations",
            value=rate(totals.operations_per_minute),
            unit="/min",
            number=totals.operations_per_minute,
            number_unit="per_minute",
            detail=f"{count(totals.operations)} in all",
            help="Operations per minute, on average over the range.",
            change=_change(totals.operations_per_minute, before and before.operations_per_minute, None),
            previous=before and before.operations_per_minute,
            spark=_spark(usage, lambda b: float(b.operations), 0.0),
            href=operations,
        ),
        Tile(
            key="latency",
            title="Response time",
            value=duration(totals.p95_ms),
            unit="p95",
            number=totals.p95_ms,
            number_unit="ms",
            detail=f"p50 {duration(totals.p50_ms)} · p99 {duration(totals.p99_ms)}",
            help="95 of 100 calls to models took at most this long.",
            change=_change(totals.p95_ms, before and before.p95_ms, "down"),
            previous=before and before.p95_ms,
            good="down",
            spark=_thinned(latency.p95_ms),
            href=f"{operations}&kind=llm&sort=duration_ms&dir=desc",
        ),
        Tile(
            key="errors",
            title="Errors",
            value=percent(totals.error_ratio),
            unit="",
            number=totals.error_ratio,
            number_unit="percent",
            detail=f"{count(totals.errors)} of {count(totals.operations)}",
            help="Operations that ended with an error ÷ all operations.",
            tone="bad" if (totals.error_ratio or 0) >= ERRORS_BAD else "neutral",
            change=_change(totals.error_ratio, before and before.error_ratio, "down"),
            previous=before and before.error_ratio,
            good="down",
            spark=_spark(usage, lambda b: b.errors / b.operations if b.operations else None),
            href=f"{operations}&status=error",
        ),
        Tile(
            key="tokens",
            title="Tokens",
            value=count(totals.input_tokens + totals.output_tokens),
            unit="",
            number=float(totals.input_tokens + totals.output_tokens),
            number_unit="count",
            detail=f"{count(totals.input_tokens)} in · {count(totals.output_tokens)} out",
            help=f"Input tokens ({_cached(totals)} of them cached) and output tokens, reasoning included.",
            change=_change(
                float(totals.input_tokens + totals.output_tokens),
                before and float(before.input_tokens + before.output_tokens),
                None,
            ),
            previous=before and float(before.input_tokens + before.output_tokens),
            spark=_spark(usage, lambda b: float(b.input_tokens + b.output_tokens), 0.0),
            href=f"{operations}&kind=llm&sort=input_tokens&dir=desc",
        ),
        _coverage_tile(totals, before, usage, operations),
    ]


def _spend_tile(
    today: TodayView, totals: TotalsView, usage: Sequence[UsageBucket | None], range_label: str, operations: str
) -> Tile:
    parts: list[str] = []
    if today.budget_usd is not None:
        parts.append(f"of {usd(today.budget_usd)}")
    if today.projected_usd is not None:
        parts.append(f"on course for {usd(today.projected_usd)}")
    if not parts:
        parts.append(f"{usd(totals.cost_usd)} in this range ({range_label.lower()})")
    return Tile(
        key="spend_today",
        title="Spend today",
        value=usd(today.cost_usd),
        unit="",
        number=float(today.cost_usd),
        number_unit="usd",
        detail=", ".join(parts),
        help="What all calls to models cost since local midnight, by the best claim there is for each.",
        tone=_budget_tone(today),
        good="down",
        meter=float(today.cost_usd / today.budget_usd) if today.budget_usd else None,
        spark=_spark(usage, lambda b: float(b.cost_usd), 0.0),
        href="/budgets" if today.budget_usd is not None else f"{operations}&kind=llm&sort=cost_usd&dir=desc",
    )


def _coverage_tile(
    totals: TotalsView, before: TotalsView | None, usage: Sequence[UsageBucket | None], operations: str
) -> Tile:
    basis = totals.basis
    named = (
        ("billed", basis.billed),
        ("computed", basis.computed),
        ("reported", basis.reported),
        ("unknown", basis.unknown),
    )
    known = totals.coverage_ratio
    most = sorted(named, key=lambda part: -part[1])
    split = [f"{name} {count(number)}" for name, number in most if number]
    return Tile(
        key="coverage",
        title="Cost known",
        value=percent(known),
        unit="",
        number=known,
        number_unit="percent",
        detail=" · ".join(split[:SPLIT_SHOWN]) or UNKNOWN,
        help=f"Calls to models whose cost is known ÷ all calls to models. {', '.join(split).capitalize()}.",
        tone="warn" if known is not None and known < COVERAGE_WARN else "neutral",
        change=_change(known, before and before.coverage_ratio, "up"),
        previous=before and before.coverage_ratio,
        good="up",
        spark=_spark(usage, lambda b: b.priced / b.llm_operations if b.llm_operations else None),
        href=f"{operations}&basis=unknown" if basis.unknown else f"{operations}&kind=llm",
    )


def _worth(totals: TotalsView) -> str:
    """The two sums whose quotient is the efficiency ratio."""
    if totals.efficiency_ratio is None:
        return UNKNOWN
    return f"{usd(float(totals.cost_usd) * totals.efficiency_ratio)} for {usd(totals.cost_usd)}"


def _cached(totals: TotalsView) -> str:
    return percent(totals.cache_read_tokens / totals.input_tokens if totals.input_tokens else None)


def _moved(now: float | None, before: float | None) -> float | None:
    return None if now is None or not before else now / before - 1


def _signed(moved: float) -> str:
    return f"{moved * 100:.0f} %" if moved < 10 else f"{moved + 1:.0f}×"


def _change(now: float | None, before: float | None, good: Literal["up", "down"] | None) -> Change | None:
    """Against the period before; None when either is not known."""
    moved = _moved(now, before)
    if moved is None:
        return None
    if abs(moved) < 0.005:
        return Change("±0 %", "neutral", moved)
    text = f"+{_signed(moved)}" if moved > 0 else f"−{_signed(-moved)}"
    if good is None or abs(moved) < NOTICEABLE:
        return Change(text, "neutral", moved)
    return Change(text, "good" if (moved > 0) == (good == "up") else "bad", moved)


def _spark(
    usage: Sequence[UsageBucket | None], figure: Callable[[UsageBucket], float | None], empty: float | None = None
) -> list[float | None]:
    """A figure per bucket; `empty` where nothing ran: 0 for sums, which are known then, None for ratios."""
    return _thinned([empty if bucket is None else figure(bucket) for bucket in usage])


def _thinned(values: Sequence[float | None]) -> list[float | None]:
    """At most `SPARK_POINTS` points: the mean of what is known in each stretch."""
    step = max(1, -(-len(values) // SPARK_POINTS))
    points: list[float | None] = []
    for start in range(0, len(values), step):
        known = [value for value in values[start : start + step] if value is not None]
        points.append(round(sum(known) / len(known), 6) if known else None)
    return points
