"""What was found to make traces slow: a cause, how it is known, and what removing it would give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ralex_core.monitoring.bottleneck.replay import Change
from ralex_core.monitoring.bottleneck.sample import Gain, Sample
from ralex_core.monitoring.bottleneck.weighted import Integers

Cause = Literal[
    "n_plus_one", "queueing", "retries", "serial_calls", "slow_provider", "slow_first_token", "resource_pressure"
]
CAUSES: tuple[str, ...] = get_args(Cause)
Certainty = Literal["likely", "possible"]
Unit = Literal["ms", "ratio", "count", "times", "number", "moment", "text"]

MIN_GAIN_RATIO = 0.05
"""A finding must promise this part of the mean, or twice it of the 95th percentile: less is not worth the time."""
POSSIBLE_WEIGHT = 0.6
"""What may well be meant to be so ranks lower than what is surely wrong."""
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Evidence:
    """One number (or word) a finding rests on."""

    label: str
    value: float | str
    unit: Unit


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause of slow traces. Gains are of all traces looked at, affected or not; ratios are 0–1."""

    cause: Cause
    certainty: Certainty
    kind: str
    name: str
    """The operation it is about."""
    title: str
    advice: str
    """One sentence that says what to look at."""
    evidence: tuple[Evidence, ...]
    operation_ids: tuple[str, ...]
    """The clearest examples, at most `EXAMPLES`."""
    affected_ratio: float
    """Share of traces it touches."""
    gain: Gain

    @property
    def score(self) -> float:
        return self.gain.score * (1.0 if self.certainty == "likely" else POSSIBLE_WEIGHT)

    @property
    def worth_telling(self) -> bool:
        gain = self.gain
        return gain.mean_ms > 0 and (
            gain.mean_ratio >= MIN_GAIN_RATIO or (gain.p95_ratio >= 2 * MIN_GAIN_RATIO and gain.mean_ratio > 0)
        )


def affected(sample: Sample, changes: Mapping[int, Change]) -> float:
    """The share of traces that a change touches."""
    total = float(sample.weight.sum())
    return float(sum(sample.weight[trace] for trace in changes)) / total if total > 0 else 0.0


def examples(sample: Sample, rows: Integers, by: Iterable[float]) -> tuple[str, ...]:
    """Operation ids of the rows with the largest values of `by`, one per trace."""
    found: dict[int, str] = {}
    for _, row in sorted(zip(by, rows.tolist(), strict=True), key=lambda pair: (-pair[0], pair[1])):
        found.setdefault(int(sample.trace[row]), sample.operation(row).operation_id)
        if len(found) == EXAMPLES:
            break
    return tuple(found.values())


def named(kind: str, name: str) -> str:
    """An operation in a sentence; names come from outside and may be long."""
    return f"{kind} “{name if len(name) <= 60 else name[:59] + '…'}”"
