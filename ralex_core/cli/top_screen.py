"""One frame of `top`: a pure function of what is known, the size of the terminal and the order asked for."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ralex_core.cli.top_feed import Row, Shown
from ralex_core.render import UNKNOWN, count, duration, percent, rate, size, usd

WIDE = 110
"""From here on two tables stand side by side."""
NARROW = 80
"""Below this, columns that matter least are left out."""
ROWS_UNBOUNDED = 10
FIXED_LINES = 14
"""Lines of a frame beside the rows of its tables."""
LEAST_ROWS = 3
BAR = 10
STALE_S = 15.0
ERRORS_BAD = 0.05


class Sort(NamedTuple):
    """An order of the rankings by one figure of a row, largest first; what is not known comes last."""

    word: str
    figure: str

    def place(self, row: Row) -> tuple[float, str]:
        value = row.get(self.figure)
        return (1.0 if value is None else -float(value), str(row["label"]))


SORTS: dict[str, Sort] = {
    "p": Sort("p95", "p95_ms"),
    "c": Sort("calls", "operations"),
    "d": Sort("dollars", "cost_usd"),
    "e": Sort("errors", "errors"),
}
"""By the key that chooses it; the first is the one `top` starts with."""


def clean(text: object, most: int = 200) -> str:
    """Text from outside as one harmless line: control and format characters become a dot."""
    shown = str(text)[:most]
    return "".join(
        "·" if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else sign for sign in shown
    )


def frame(shown: Shown, *, width: int, height: int | None, sort: Sort, paused: bool = False) -> RenderableType:
    """The whole screen. `height` None: as long as it needs to be."""
    message = shown.message or {}
    metrics = message.get("metrics", {})
    wide = width >= WIDE
    tables = 2 if wide else 3
    rows = ROWS_UNBOUNDED if height is None else max(LEAST_ROWS, (height - FIXED_LINES) // tables)
    slowest = _ranking("Operations", shown.names, sort, rows, width // 2 - 1 if wide else width, models=False)
    models = _ranking("Models", shown.models, sort, rows, width // 2 - 1 if wide else width, models=True)
    parts: list[RenderableType] = [
        _title(shown, message, paused),
        _headline(metrics, message),
        Text(),
        _tiles(metrics, width),
    ]
    parts += [_machine(message, width), Text()]
    if wide:
        both = Table.grid(expand=True, padding=(0, 1))
        both.add_column(ratio=1)
        both.add_column(ratio=1)
        both.add_row(slowest, models)
        parts.append(both)
    else:
        parts += [slowest, Text(), models]
    parts += [Text(), _recent(shown, rows, width)]
    if height is not None:
        parts.append(_keys(sort))
    return Group(*parts)


def _line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _title(shown: Shown, message: Row, paused: bool) -> Text:
    at = str(message.get("at") or "")[11:19]
    demo = " demo data" if message.get("health", {}).get("demo") else ""
    if shown.problem is not None or shown.age_s > STALE_S:
        state, style = f"● reconnecting, {shown.age_s:.0f} s old", "bold red"
    elif paused:
        state, style = "● paused", "yellow"
    else:
        state, style = "● live", "green"
    found = _line(
        ("Ralex Monitor ", "bold"),
        (f"{clean(shown.url)} ", "dim"),
        (state, style),
        (demo, "yellow"),
        (f"  {at} UTC", "dim"),
    )
    if shown.problem:
        found.append(f"  {clean(shown.problem)}", "red")
    return found


def _headline(metrics: Row, message: Row) -> Text:
    """How things are, in one sentence."""
    today = metrics.get("costs", {}).get("today", {})
    speed = metrics.get("performance", {})
    text = f"{usd(today.get('cost_usd'))} today"
    if today.get("budget_usd") is not None:
        text = f"{usd(today.get('cost_usd'))} of {usd(today['budget_usd'])} today"
    if today.get("projected_usd") is not None and Decimal(today["projected_usd"]) > Decimal(today["cost_usd"]):
        text += f", on course for {usd(today['projected_usd'])}"
    if not speed.get("operations"):
        text += "; nothing ran in the last 15 minutes."
    else:
        text += f"; p95 {duration(speed.get('p95_ms'))}; "
        text += (
            "no errors." if not speed.get("errors") else f"{percent(speed.get('error_ratio'))} of operations failed."
        )
    health = message.get("health", {})
    found = _line((text, "bold"))
    if health.get("status") == "degraded":
        found.append(f" {clean(health.get('reason') or 'The monitor is not well.')}", "yellow")
    return found


def _tiles(metrics: Row, width: int) -> Table:
    speed, costs, usage = (metrics.get(name, {}) for name in ("performance", "costs", "usage"))
    today, window = costs.get("today", {}), costs.get("window", {})
    failing = (speed.get("error_ratio") or 0) >= ERRORS_BAD
    tiles = [
        ("Spend today", usd(today.get("cost_usd")), ""),
        ("Ops/min", rate(speed.get("operations_per_minute")), ""),
        ("p95", duration(speed.get("p95_ms")), ""),
        ("Errors", percent(speed.get("error_ratio")), "red" if failing else ""),
        ("Tokens in", count(usage.get("input_tokens")), ""),
        ("Tokens out", count(usage.get("output_tokens")), ""),
        ("Last 15 min", usd(window.get("cost_usd")), ""),
        ("Cost known", percent(window.get("coverage_ratio")), ""),
    ]
    if width < NARROW:
        tiles = tiles[:4]
    table = Table.grid(expand=True, padding=(0, 1))
    for _ in tiles:
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_row(*(Text(title, "dim") for title, _, _ in tiles))
    table.add_row(*(Text(value, f"bold {style}".strip()) for _, value, style in tiles))
    return table


def _machine(message: Row, width: int) -> Text:
    """CPU, memory and disk of the server's machine, and its queue."""
    health = message.get("health", {})
    now = health.get("resources")
    parts: list[tuple[str, str]] = []
    if now:
        memory = now["memory_used_bytes"] / now["memory_total_bytes"] if now["memory_total_bytes"] else None
        disk = now["disk_used_bytes"] / now["disk_total_bytes"] if now["disk_total_bytes"] else None
        for name, used in (("CPU", now["cpu_ratio"]), ("Memory", memory), ("Disk", disk)):
            filled = round(min(1.0, used or 0.0) * BAR)
            hot = "red" if (used or 0) > 0.9 else "green"
            bar = [("█" * filled, hot), ("░" * (BAR - filled), "dim")] if width >= NARROW else []
            parts += [(f"{name} ", "dim"), *bar, (f" {percent(used)}   ", "")]
        parts += [("Monitor ", "dim"), (f"{size(now['process_rss_bytes'])}   ", "")]
    parts += [("Queue ", "dim"), (count(health.get("queue_operations")), "")]
    return _line(*parts)


def _ranking(title: str, rows: Sequence[Row], sort: Sort, most: int, width: int, *, models: bool) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column(title, ratio=1, no_wrap=True, overflow="ellipsis", header_style="bold")
    narrow = width < NARROW // 2 + 14
    headings = ["calls", "p95", "errors", "dollars"] if narrow else ["calls", "p50", "p95", "errors", "dollars"]
    for name in headings:
        shown = {"dollars": "cost"}.get(name, name)
        table.add_column(f"{shown}▾" if name == sort.word else shown, justify="right", no_wrap=True)
    for row in sorted(rows, key=sort.place)[:most]:
        cells = {
            "calls": Text(count(row["operations"])),
            "p50": Text(duration(row.get("p50_ms"))),
            "p95": Text(duration(row.get("p95_ms")), "bold"),
            "errors": Text(count(row["errors"]), "red" if row["errors"] else "dim"),
            "dollars": Text(usd(row.get("cost_usd"))),
        }
        name = Text(clean(row["label"]))
        if not models and row.get("kind"):
            name.append(f" {clean(row['kind'])}", "dim")
        table.add_row(name, *(cells[heading] for heading in headings))
    if not rows:
        table.add_row(Text("none in the last 15 minutes", "dim"), *("" for _ in headings))
    return table


def _recent(shown: Shown, most: int, width: int) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column("UTC", no_wrap=True)
    table.add_column("Recent", ratio=3, no_wrap=True, overflow="ellipsis", header_style="bold")
    if width >= NARROW:
        table.add_column("model", ratio=2, no_wrap=True, overflow="ellipsis")
    if width >= WIDE:
        table.add_column("user", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("status", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("cost", justify="right", no_wrap=True)
    for item in shown.recent[:most]:
        cells: list[Any] = [Text(clean(item["started_at"])[11:19], "dim"), Text(clean(item["name"]))]
        if width >= NARROW:
            cells.append(Text(clean(item.get("model") or item["kind"]), "" if item.get("model") else "dim"))
        if width >= WIDE:
            cells.append(Text(clean(item.get("user") or item.get("project") or UNKNOWN), "dim"))
        status = clean(item["status"], 9)
        cells.append(Text(status, "red" if status == "error" else "dim"))
        cells += [Text(duration(item.get("duration_ms"))), Text(usd(item.get("cost_usd")))]
        table.add_row(*cells)
    return table


def _keys(sort: Sort) -> Text:
    found = _line(("q", "bold"), (" quit  ", "dim"), ("Space", "bold"), (" pause  sort by ", "dim"))
    for key, one in SORTS.items():
        found.append(key, "bold")
        found.append(f" {one.word}  ", "reverse" if one is sort else "dim")
    return found
