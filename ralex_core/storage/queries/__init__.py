"""Questions to a telemetry store: one function each, typed rows, the same answers for pages, API and reports."""

from ralex_core.storage.queries.breakdown import BreakdownRow, DriftRow, breakdown, drift, filter_values
from ralex_core.storage.queries.operations import OperationsPage, operation, operations_page, recent_operations, trace
from ralex_core.storage.queries.resources import ResourceBucket, resource_series
from ralex_core.storage.queries.segments import bucket_for
from ralex_core.storage.queries.series import (
    LatencyBucket,
    TimeSeries,
    UsageBucket,
    cost_over_time,
    latency_over_time,
    usage_over_time,
)
from ralex_core.storage.queries.totals import StatusTotals, Totals, extent, is_empty, spend, status_totals, totals

__all__ = [
    "BreakdownRow",
    "DriftRow",
    "LatencyBucket",
    "OperationsPage",
    "ResourceBucket",
    "StatusTotals",
    "TimeSeries",
    "Totals",
    "UsageBucket",
    "breakdown",
    "bucket_for",
    "cost_over_time",
    "drift",
    "extent",
    "filter_values",
    "is_empty",
    "latency_over_time",
    "operation",
    "operations_page",
    "recent_operations",
    "resource_series",
    "spend",
    "status_totals",
    "totals",
    "trace",
    "usage_over_time",
]
