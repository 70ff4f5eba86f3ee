"""Whether planted faults are found and what removing them gives is foretold: twenty seeds of each, and healthy runs.

Every fault is planted in a simulated service, and the same seed is run again without it, so that the true gain is
known. Ends with an error below the limits.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from bench.figure import Figure, report
from ralex_core.monitoring.bottlenecks import Bottlenecks, analyse
from ralex_core.simulate.service import Fault, Run, run_service
from tests.support.traces import everything

SEEDS = 20
REQUESTS = 900
CAUSE = {
    "n_plus_one": "n_plus_one",
    "lock": "queueing",
    "slow_provider": "slow_provider",
    "retry_storm": "retries",
    "serial_fan_out": "serial_calls",
    "cpu_starvation": "resource_pressure",
}
LIMIT = 0.95
MAX_ERROR = 0.2


@dataclass(slots=True)
class Score:
    """How one fault was dealt with over all seeds."""

    first: int = 0
    mean_errors: list[float] = field(default_factory=list[float])
    p95_errors: list[float] = field(default_factory=list[float])

    def within(self, errors: list[float]) -> int:
        return sum(abs(error) <= MAX_ERROR for error in errors)


def p95_of(durations_ms: list[float]) -> float:
    return sorted(durations_ms)[-(-95 * len(durations_ms) // 100) - 1]


def judged(fault: Fault, with_fault: Run, without: Run, found: Bottlenecks, score: Score) -> None:
    """Add one run to a score; a cause that is not found counts as an error of 1."""
    measured = statistics.mean(with_fault.durations_ms) - statistics.mean(without.durations_ms)
    measured_p95 = p95_of(with_fault.durations_ms) - p95_of(without.durations_ms)
    score.first += bool(found.findings) and found.findings[0].cause == CAUSE[fault]
    mine = next((finding for finding in found.findings if finding.cause == CAUSE[fault]), None)
    score.mean_errors.append((mine.gain.mean_ms - measured) / measured if mine else 1.0)
    # a fault that leaves p95 where it is has no gain to compare with: then 1 % of p95 is allowed
    floor = max(measured_p95, 0.05 * p95_of(with_fault.durations_ms))
    score.p95_errors.append((mine.gain.p95_ms - measured_p95) / floor if mine else 1.0)


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    seeds = range(given.first, given.first + given.seeds)
    figures: list[Figure] = []
    first = within = within_p95 = healthy = 0
    faults: tuple[Fault, ...] = get_args(Fault)
    for fault in faults:
        score = Score()
        quiet = 0
        for seed in seeds:
            with_fault = run_service(seed, fault, requests=given.requests)
            without = run_service(seed, None, strength=fault, requests=given.requests)
            judged(fault, with_fault, without, analyse(everything(with_fault)), score)
            quiet += not analyse(everything(without)).findings
        within_mean, within_tail = score.within(score.mean_errors), score.within(score.p95_errors)
        print(
            f"{fault}: first in {score.first} of {len(seeds)}; gain within 20 %: mean {within_mean}, "
            f"p95 {within_tail}; median error {statistics.median(score.mean_errors):+.1%}; quiet without it {quiet}",
            flush=True,
        )
        first += score.first
        within += within_mean
        within_p95 += within_tail
        healthy += quiet
    runs = len(faults) * len(seeds)
    for what, count, limit in (
        ("planted cause ranked first", first, LIMIT),
        ("predicted gain of the mean within 20 %", within, LIMIT),
        ("predicted gain of p95 within 20 %", within_p95, None),
        ("healthy runs without a finding", healthy, LIMIT),
    ):
        reference = None if limit is None else 100 * limit
        figures.append(Figure(what, 100 * count / runs, f"% of {runs} runs", reference, "the limit", True))
    report(figures, given.json)
    if min(first, within, healthy) < LIMIT * runs:
        raise SystemExit("below the limit")
    return figures


if __name__ == "__main__":
    run()
