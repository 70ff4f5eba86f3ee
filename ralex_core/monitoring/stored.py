"""The same group figures as `recent` keeps in memory, asked of a telemetry store."""

from __future__ import annotations

from ralex_core.clock import Clock
from ralex_core.model.window import Scope, Window
from ralex_core.monitoring.recent import GroupFigures, in_order, tokens_per_s
from ralex_core.stats.quantiles import value_of
from ralex_core.storage.queries.segments import measured, percentiles
from ralex_core.storage.telemetry import Store

_MEASURES = (
    "operations",
    "errors",
    "timed",
    "duration_ms",
    "ttft_timed",
    "ttft_ms",
    "input_tokens",
    "output_tokens",
)


def stored_figures(
    store: Store, clock: Clock, window_s: int, group: tuple[str, ...], *, kind: str | None = None
) -> list[GroupFigures]:
    """Figures per group over the last `window_s` seconds, most operations first; empty without operations.

    Blocks for two queries of some milliseconds.
    """
    now_us = clock.now_us()
    scope = Scope(Window(now_us - window_s * 1_000_000, now_us + 1))
    width = len(group)
    latency = percentiles(store, scope, (0.5, 0.95, 0.99, 1.0), group=group, kind=kind)
    found: list[GroupFigures] = []
    for row in measured(store, scope, _MEASURES, group=group, kind=kind):
        operations, errors, timed, duration_ms, ttft_timed, ttft_ms, input_tokens, output_tokens = row[width:]
        if not operations:
            continue
        bins = latency.get(row[:width])
        p50, p95, p99, longest = (value_of(bin) for bin in bins[1:]) if bins else (None, None, None, None)
        found.append(
            GroupFigures(
                key=row[:width],
                operations=operations,
                errors=errors,
                p50_ms=p50,
                p95_ms=p95,
                p99_ms=p99,
                max_ms=longest,
                mean_ms=duration_ms / timed if timed else None,
                mean_ttft_ms=ttft_ms / ttft_timed if ttft_timed else None,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                output_tokens_per_s=tokens_per_s(output_tokens, duration_ms),
            )
        )
    return in_order(found)
