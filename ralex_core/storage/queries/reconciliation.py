"""Questions of a reconciliation with OpenRouter: which of its calls have no bill, and what its calls cost."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from ralex_core.model.operation import Operation
from ralex_core.model.window import Window
from ralex_core.storage.telemetry import Store

_ROUTED = "kind = 'llm' and (provider = 'openrouter' or starts_with(provider_request_id, 'gen-'))"
"""Calls that OpenRouter charges: it is named as the provider, or the request id is one of its generations."""


def is_routed(operation: Operation) -> bool:
    """Whether OpenRouter charges for the operation."""
    is_generation = (operation.provider_request_id or "").startswith("gen-")
    return operation.kind == "llm" and (operation.provider == "openrouter" or is_generation)


class UnbilledCall(NamedTuple):
    started_at: int
    operation_id: str
    generation_id: str


class RoutedSums(NamedTuple):
    """What calls through OpenRouter in one window cost (of one model, in lower case, where that was asked)."""

    start_us: int
    model: str | None
    calls: int
    cost_usd: Decimal
    unknown_calls: int
    """Calls without a known cost."""
    unbilled_calls: int
    """Calls whose cost is known, but not from a bill."""
    unbilled_usd: Decimal
    quarantined_usd: Decimal
    """Bills that are kept out of the cost."""


def unbilled_calls(store: Store, window: Window, after: tuple[int, str], limit: int) -> list[UnbilledCall]:
    """Calls through OpenRouter that name their generation and have no bill, oldest first, from behind `after`
    (started at, operation id) on."""
    rows = store.query(
        "select started_at, operation_id, provider_request_id from operations "
        f"where started_at >= $low and started_at < $high and {_ROUTED} "
        "and provider_request_id is not null and billed_usd is null "
        "and (started_at, operation_id) > ($at, $last) order by started_at, operation_id limit $limit",
        {"low": window.start_us, "high": window.end_us, "at": after[0], "last": after[1], "limit": limit},
    )
    return [UnbilledCall(*row) for row in rows]


def routed_sums(store: Store, windows: Sequence[Window], *, by_model: bool = False) -> list[RoutedSums]:
    """Sums per window, in order; windows may overlap. Those without calls are absent."""
    if not windows:
        return []
    model = "lower(coalesce(model, requested_model))" if by_model else "null::VARCHAR"
    parameters: dict[str, Any] = {
        "starts": [window.start_us for window in windows],
        "ends": [window.end_us for window in windows],
        "low": min(window.start_us for window in windows),
        "high": max(window.end_us for window in windows),
    }
    rows = store.query(
        "with asked as (select unnest($starts::BIGINT[]) as start_us, unnest($ends::BIGINT[]) as end_us) "
        f"select start_us, {model} as routed, count(*), coalesce(sum(cost_usd), 0), count(*) - count(cost_usd), "
        "count(cost_usd) filter (cost_basis <> 'billed'), "
        "coalesce(sum(cost_usd) filter (cost_basis <> 'billed'), 0), "
        "coalesce(sum(billed_usd) filter (quarantine = 'billed'), 0) "
        "from operations join asked on started_at >= start_us and started_at < end_us "
        f"where started_at >= $low and started_at < $high and {_ROUTED} "
        "group by start_us, routed order by start_us, routed",
        parameters,
    )
    return [RoutedSums(*row) for row in rows]
