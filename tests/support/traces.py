"""Traces written by hand, and the sample of everything a simulated service recorded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ralex_core.model.operation import Operation
from ralex_core.monitoring.bottleneck.sample import Pressure, Sample, lay_out, timings_of
from ralex_core.simulate.service import SAMPLE_MS, Run

START_US = 1_767_225_600_000_000


def span(
    span_id: str,
    start_ms: float,
    duration_ms: float | None,
    parent: str | None = None,
    *,
    kind: str = "task",
    name: str | None = None,
    trace: str = "t",
    **fields: object,
) -> Operation:
    """One span; times are ms since the trace's beginning."""
    return Operation(
        operation_id=f"{trace}-{span_id}",
        kind=kind,
        name=name or span_id,
        started_at=START_US + round(start_ms * 1000),
        duration_ms=duration_ms,
        trace_id=trace,
        span_id=f"{trace}-{span_id}",
        parent_span_id=None if parent is None else f"{trace}-{parent}",
        **fields,  # type: ignore[arg-type]
    )


def by_trace(operations: Iterable[Operation]) -> list[list[Operation]]:
    found: defaultdict[str | None, list[Operation]] = defaultdict(list)
    for operation in operations:
        found[operation.trace_id].append(operation)
    return list(found.values())


def everything(run: Run) -> Sample:
    """All traces of a run with everything that ran beside them, and the machine's CPU."""
    pressure = [
        Pressure(sample.sampled_at - round(SAMPLE_MS * 1000), sample.sampled_at, sample.cpu_ratio)
        for sample in run.samples
    ]
    return lay_out(by_trace(run.operations), timings=timings_of(run.operations), pressure=pressure)
