"""The simulated service: the same for ever, and the same but for the fault."""

from __future__ import annotations

import statistics
from collections import Counter

import pytest

from ralex_core.simulate.service import FAULTS, Fault, run_service


def test_the_same_seed_gives_the_same_run() -> None:
    assert run_service(4, "lock", requests=80).operations == run_service(4, "lock", requests=80).operations
    assert run_service(4, "lock", requests=80).operations != run_service(5, "lock", requests=80).operations


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_makes_requests_slower_and_changes_nothing_else(fault: Fault) -> None:
    with_fault = run_service(9, fault, requests=250)
    without = run_service(9, None, strength=fault, requests=250)
    assert len(with_fault.durations_ms) == len(without.durations_ms) == 250
    assert statistics.mean(with_fault.durations_ms) > 1.05 * statistics.mean(without.durations_ms)
    roots = [
        sorted((op.started_at, op.name) for op in run.operations if op.parent_span_id is None)
        for run in (with_fault, without)
    ]
    assert roots[0] == roots[1], "the same requests come at the same times"


def test_traces_are_whole() -> None:
    run = run_service(2, "serial_fan_out", requests=60)
    ids = Counter(op.span_id for op in run.operations)
    assert set(ids.values()) == {1}
    assert all(op.parent_span_id is None or op.parent_span_id in ids for op in run.operations)
    assert all(0 <= sample.cpu_ratio <= 1 for sample in run.samples)
