"""The performance page: which rows, in which order, and the links that change both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from fastapi import APIRouter, Request
from starlette.responses import Response

from ralex_core.dashboard.contexts.frame import Choice, Tone
from ralex_core.dashboard.contexts.operations import Column
from ralex_core.dashboard.contexts.performance import Performance, PerformanceRow
from ralex_core.dashboard.params import SCOPE_PARAMS, href, one_of, require_known
from ralex_core.dashboard.performance import AGAINSTS, Asked, Performances, read_asked
from ralex_core.dashboard.performance_figures import summary_view, verdict_view
from ralex_core.dashboard.questions import Pool
from ralex_core.dashboard.site import Site, query_of
from ralex_core.monitoring.comparison import LONGEST_WEEKLY_US, Against, Comparison, Verdict
from ralex_core.monitoring.latency import DIMENSIONS, Dimension, LatencySummary, Summaries

PATH = "/performance"
TABS = ("operation", "endpoint", "model", "provider")
AGAINST_HELP = {
    "previous": "The window of the same length just before",
    "last_week": "The same hours a week ago",
    "usual": "What is usual at this time, from the days before",
}
PARAMS = (*SCOPE_PARAMS, "by", "against", "pick", "sort", "dir")
_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("label", "", ""),
    ("operations", "Count", "Operations that started in the range"),
    ("per_minute", "Per min", "Operations a minute"),
    ("p50_ms", "p50", "Half took at most this long"),
    ("p95_ms", "p95", "95 of 100 took at most this long"),
    ("change", "Change", "Against what is compared with; a coloured change is tested and real"),
    ("p99_ms", "p99", "99 of 100 took at most this long"),
    ("max_ms", "Max", "The longest, within 1 %"),
    ("apdex", "Apdex", "1: all within their target; failures count as frustrated"),
    ("error_ratio", "Errors", "Operations that ended with an error"),
    ("mean_ttft_ms", "First token", "Mean time to first token of calls to models"),
    ("output_tokens_per_s", "Tokens/s", "Output tokens ÷ duration of calls to models"),
    ("share_ratio", "Share of time", "Part of the time all of them took"),
)
"""(key, title, help); sorting is by the key's figure."""
HELPS = {key: text for key, _, text in _COLUMNS}


def page_of(panels: Performances, pool: Pool, asked: Asked, sort: str, descending: bool) -> Performance:
    """Everything the page shows."""
    notes: list[str] = []
    if asked.against == "last_week" and asked.scope.window.length_us > LONGEST_WEEKLY_US:
        notes.append("The same hours last week exist for ranges of up to 7 days; compared with the range before.")
        asked = replace(asked, against="previous")
    heat = pool.ask(lambda: panels.heat(asked))
    loaded = pool.ask(lambda: panels.load(asked))
    trending = pool.ask(lambda: panels.trends(asked))
    compared = panels.comparison(asked)
    timeline = panels.timeline(asked)
    summaries = compared.summaries
    if summaries.clipped:
        notes.append(f"By {asked.dimension.title.lower()}, only the last 31 days of a range are answered for.")
    rows = [_row(row.now, row.verdict, asked, summaries) for row in compared.rows]
    rows.sort(key=lambda row: _sort_key(row, sort), reverse=descending)
    rows.sort(key=lambda row: _sort_value(row, sort) is None)  # unknown last, either way
    sentence, tone = _sentence(compared, asked)
    found = trending.result()
    picked = None if asked.group is None else asked.dimension.key_of(asked.group)
    return Performance(
        by=asked.dimension.key,
        title=asked.dimension.title,
        against=asked.against,
        tabs=[_choice(asked, DIMENSIONS[key]) for key in TABS],
        more=[_choice(asked, dimension) for key, dimension in DIMENSIONS.items() if key not in TABS],
        againsts=[
            Choice(key, label, _link(asked, against=key), key == asked.against) for key, label in AGAINSTS.items()
        ],
        columns=[_column(asked, column, sort, descending) for column in _COLUMNS],
        rows=rows,
        total=summary_view(summaries.total, asked.dimension, asked.view, summaries.total.total_ms),
        groups=summaries.groups,
        sentence=sentence,
        sentence_tone=tone,
        notes=notes,
        picked=picked,
        picked_label=None if asked.group is None else asked.group[-1] or "unknown",
        unpick_href=href(PATH, [*asked.view.pairs(), *replace(asked, group=None).pairs()]),
        timeline=timeline,
        heat=heat.result(),
        load=loaded.result(),
        trends=[trend for trend in found if trend.points],
        trend=found[0] if asked.group is not None and found else None,
    )


def _row(now: LatencySummary, verdict: Verdict, asked: Asked, summaries: Summaries) -> PerformanceRow:
    picked = asked.group == now.group
    target = replace(asked, group=None if picked else now.group)
    return PerformanceRow(
        summary_view(now, asked.dimension, asked.view, summaries.total.total_ms),
        verdict_view(verdict),
        picked,
        href(PATH, [*asked.view.pairs(), *target.pairs()]),
    )


def _link(asked: Asked, *, against: str) -> str:
    changed = replace(asked, against=cast("Against", against))
    return href(PATH, [*asked.view.pairs(), *changed.pairs()])


def _column(asked: Asked, column: tuple[str, str, str], sort: str, descending: bool) -> Column:
    key, title, _ = column
    active = key == sort
    down = not descending if active else key not in ("label", "apdex")
    pairs = [*asked.view.pairs(), *asked.pairs(), ("sort", key), ("dir", "desc" if down else "asc")]
    order = ("desc" if descending else "asc") if active else ""
    return Column(key, title or asked.dimension.title, True, href(PATH, pairs), order, key != "label")


def _choice(asked: Asked, dimension: Dimension) -> Choice:
    pairs = [*asked.view.pairs(), ("by", dimension.key), ("against", asked.against)]
    return Choice(dimension.key, dimension.title, href(PATH, pairs), dimension.key == asked.dimension.key)


def _sort_value(row: PerformanceRow, key: str) -> Any:
    if key == "change":
        return row.verdict.ratio
    return getattr(row.now, key)


def _sort_key(row: PerformanceRow, key: str) -> Any:
    value = _sort_value(row, key)
    return (str(value or "").lower() if key == "label" else value or 0, row.now.key)


def _sentence(compared: Comparison, asked: Asked) -> tuple[str, Tone]:
    """What became slower or faster, in words."""
    tested = [row for row in compared.rows if row.verdict.ratio is not None]
    against = {"previous": "the range before", "last_week": "the same hours last week", "usual": "what is usual"}
    noun = asked.dimension.title.lower() + ("" if len(tested) == 1 else "s")
    if not compared.rows:
        return "Nothing ran in this range.", "unknown"
    if not tested:
        return f"Too little ran to compare with {against[asked.against]}.", "unknown"
    slower = [row for row in tested if row.verdict.state == "slower"]
    faster = [row for row in tested if row.verdict.state == "faster"]
    if not slower and not faster:
        return f"No clear change of {len(tested)} {noun} against {against[asked.against]}.", "neutral"
    parts = [f"{len(found)} {word}" for found, word in ((slower, "slower"), (faster, "faster")) if found]
    worst = max(slower or faster, key=lambda row: row.now.total_ms)
    name = worst.now.group[-1] or "unknown"
    text = f"{' and '.join(parts)} of {len(tested)} {noun} against {against[asked.against]}; most time in {name}."
    return text, "bad" if slower else "good"


def _drawn(shown: Performance) -> dict[str, object]:
    """What the page's scripts draw from; the rest is in the page already, as HTML."""
    whole = next((row.now for row in shown.rows if row.picked), shown.total)
    return {
        "timeline": shown.timeline,
        "heat": shown.heat,
        "trend": shown.trend,
        "whole": {"p50": whole.p50_ms, "p95": whole.p95_ms, "p99": whole.p99_ms},
    }


def performance_pages(router: APIRouter, site: Site) -> None:
    """The route of the page."""

    @router.get(PATH)
    def performance(request: Request) -> Response:
        query = query_of(request)
        require_known(query, PARAMS)
        asked = read_asked(site.view(query), query)
        sort = one_of(query, "sort", [key for key, _, _ in _COLUMNS], "share_ratio")
        descending = one_of(query, "dir", ("desc", "asc"), "desc") == "desc"
        shown = page_of(site.performances, site.pool, asked, sort, descending)
        return site.page(
            request,
            "performance.html",
            page="performance",
            title="Performance",
            context={
                "performance": shown,
                "helps": {key: text for key, _, text in _COLUMNS},
                "against_help": AGAINST_HELP,
            },
            boot={"performance": _drawn(shown)},
            view=asked.view,
            extra=asked.pairs(),
        )
