"""Questions to a telemetry store: one function each, typed rows, the same answers for pages, API and reports."""

from ralex_core.storage.queries.breakdown import BreakdownRow, DriftRow, breakdown, drift, filter_values
from ralex_core.storage.queries.operations import operation, recent_operations, trace
from ralex_core.storage.queries.pages import OperationsPage, operations_page
from ralex_core.storage.queries.resources import (
    GpuBucket,
    ProcessBucket,
    ResourceBucket,
    WatchedProcess,
    gpu_series,
    last_states,
    process_series,
    resource_bucket,
    resource_extent,
    resource_series,
    state_changes,
    watched_processes,
)
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
from ralex_core.storage.queries.traces import TraceRow, TraceSample, TracesPage, sample_traces, timings, traces_page

__all__ = [
    "BreakdownRow",
    "DriftRow",
    "GpuBucket",
    "LatencyBucket",
    "OperationsPage",
    "ProcessBucket",
    "ResourceBucket",
    "StatusTotals",
    "TimeSeries",
    "Totals",
    "TraceRow",
    "TraceSample",
    "TracesPage",
    "UsageBucket",
    "WatchedProcess",
    "breakdown",
    "bucket_for",
    "cost_over_time",
    "drift",
    "extent",
    "filter_values",
    "gpu_series",
    "is_empty",
    "last_states",
    "latency_over_time",
    "operation",
    "operations_page",
    "process_series",
    "recent_operations",
    "resource_bucket",
    "resource_extent",
    "resource_series",
    "sample_traces",
    "spend",
    "state_changes",
    "status_totals",
    "timings",
    "totals",
    "trace",
    "traces_page",
    "usage_over_time",
    "watched_processes",
]
