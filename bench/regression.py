"""Whether slowness is found and noise is not: percentiles against exact ones, regressions, steps and trends with
known truth.

Traffic is simulated as 60 operations a minute with log-normal durations that breathe with the day, drift from day to
day and from minute to minute (autocorrelated), in the histograms the store keeps. Everything is seeded.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.figure import Figure, report
from ralex_core.collection.importers.base import ImportOptions, NoMemory, Position
from ralex_core.collection.importers.registry import importer_for
from ralex_core.model.operation import Operation
from ralex_core.model.window import Scope, Window
from ralex_core.monitoring.comparison import ALPHA, EARLIER, FLOOR, USUAL_DAYS
from ralex_core.monitoring.latency import summarise
from ralex_core.monitoring.trends import ALPHA as TREND_ALPHA
from ralex_core.monitoring.trends import STEEP, TREND_DAYS
from ralex_core.stats.baseline import expect
from ralex_core.stats.changepoint import change_points
from ralex_core.stats.compare import Difference, Sample, against_expected, difference
from ralex_core.stats.intervals import log_quantile
from ralex_core.stats.quantiles import bins_of
from ralex_core.stats.trend import mann_kendall, without_rhythm
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.shared import shared_root

MINUTES = 1440
SLOT_MIN = 5
HOUR = 60 // SLOT_MIN
DAY = 24 * HOUR
DAYS = 9
Q = 0.95
FACTOR = 1.2
AGAINST = ("previous", "last_week", "usual")


@dataclass(frozen=True, slots=True)
class Noise:
    """How restless traffic is: of an operation, of the day's rhythm, from minute to minute, from day to day (ln)."""

    name: str
    sigma: float
    rhythm: float
    minute: float
    correlation: float
    day: float


SETTINGS = (
    Noise("calm", 0.6, 0.10, 0.03, 0.8, 0.01),
    Noise("usual", 0.6, 0.15, 0.05, 0.8, 0.02),
    Noise("restless", 0.7, 0.20, 0.06, 0.9, 0.03),
)
"""`usual`: p95 is 2.7 times the median, the day breathes by 15 %, minutes differ by 5 % for some five minutes."""


class Traffic:
    """Histograms of simulated durations per 5 minutes; from minute `slower_at` on they are `FACTOR` times longer."""

    def __init__(self, seed: int, noise: Noise, slower_at: int | None = None) -> None:
        source = np.random.default_rng(seed)
        minutes = DAYS * MINUTES
        count = source.poisson(60, minutes)
        steps = source.normal(0, noise.minute * math.sqrt(1 - noise.correlation**2), minutes)
        drift, value = np.empty(minutes), source.normal(0, noise.minute)
        for place in range(minutes):
            value = noise.correlation * value + steps[place]
            drift[place] = value
        rhythm = noise.rhythm * np.sin(2 * np.pi * (np.arange(minutes) / MINUTES + source.random()))
        mean = math.log(1500) + rhythm + drift + np.repeat(source.normal(0, noise.day, DAYS), MINUTES)
        if slower_at is not None:
            mean[slower_at:] += math.log(FACTOR)
        minute = np.repeat(np.arange(minutes), count)
        bins = bins_of(np.exp(mean[minute] + noise.sigma * source.standard_normal(len(minute)))).astype(np.int64)
        self.first, width = int(bins.min()), int(np.ptp(bins)) + 1
        slots = minutes // SLOT_MIN
        flat = np.bincount(minute // SLOT_MIN * width + bins - self.first, minlength=slots * width)
        self.table = flat.reshape(slots, width)
        self.bins = np.arange(self.first, self.first + width)
        self.summed = np.vstack([np.zeros(width, dtype=np.int64), np.cumsum(self.table, axis=0)])

    def log_p95(self, start: int, end: int) -> float:
        counts = self.summed[end] - self.summed[start]
        held = counts > 0
        return log_quantile(self.bins[held], counts[held], Q)

    def sample(self, start: int, end: int) -> Sample:
        counts = self.summed[end] - self.summed[start]
        running = np.cumsum(counts)
        level = int(np.searchsorted(running, Q * running[-1] - 1e-9))
        held, rows = counts > 0, self.table[start:end]
        return Sample(self.bins[held], counts[held], rows.sum(axis=1), rows[:, level + 1 :].sum(axis=1))

    def test(self, end: int, against: str) -> Difference:
        """The hour that ends at slot `end`, tested as `monitoring.comparison` does."""
        start, week = end - HOUR, 7 * DAY
        if against == "usual":
            first = start - USUAL_DAYS * DAY
            past = [self.log_p95(at, at + HOUR) for at in range(first, start, HOUR)]
            expected = expect(np.array(past), 24)
            assert expected is not None
            found = against_expected(self.sample(start, end), Q, expected, 0)
        else:
            shift = HOUR if against == "previous" else week
            pairs = range(1, EARLIER + 1)
            ends = [end - k * HOUR for k in pairs if start - k * HOUR - shift >= 0]
            earlier = [self.log_p95(at - HOUR, at) - self.log_p95(at - HOUR - shift, at - shift) for at in ends]
            found = difference(self.sample(start, end), self.sample(start - shift, end - shift), Q, earlier)
        assert found is not None
        return found


def is_slower(found: Difference) -> bool:
    """A single comparison's verdict."""
    return found.p_value <= ALPHA and found.low_ratio > 1 and found.ratio >= 1 + FLOOR


def regressions(noise: Noise, seeds: int) -> Iterator[Figure]:
    """False alarms of hourly checks over an unchanged day; detection and delay of checks every 5 minutes."""
    last_day = (DAYS - 1) * DAY
    for against in AGAINST:
        alarms: list[bool] = []
        bad_days, delays = 0, list[float]()
        for seed in range(seeds):
            calm = Traffic(seed, noise)
            flags = [is_slower(calm.test(last_day + hour * HOUR, against)) for hour in range(1, 25)]
            alarms += flags
            bad_days += any(flags)
            onset = last_day + (seed * 37) % (DAY - HOUR)
            slow = Traffic(seed + 10_000, noise, onset * SLOT_MIN)
            found = (step for step in range(1, HOUR + 1) if is_slower(slow.test(onset + step, against)))
            delays.append(next(found, math.inf) * SLOT_MIN)
        caught = [delay for delay in delays if delay <= 60]
        name = f"{noise.name} traffic, against {against.replace('_', ' ')}"
        yield Figure(f"{name}: found within the hour", 100 * len(caught) / seeds, "%", 95, "the aim", True)
        yield Figure(f"{name}: median delay", statistics.median(delays), "min", 60, "the limit")
        yield Figure(f"{name}: false alarms per check", 100 * sum(alarms) / len(alarms), "%", 5, "the limit")
        yield Figure(f"{name}: days with a false alarm (24 checks)", 100 * bad_days / seeds, "%")


def days(source: np.random.Generator, r: float, *, step: float = 1.0, per_month: float = 1.0) -> np.ndarray[Any, Any]:
    """The logarithm of a p95 per day: noise of 15 %, correlated by `r`, a weekly rhythm; a step in the middle."""
    n = TREND_DAYS
    made, value = np.empty(n), source.standard_normal()
    for place in range(n):
        value = r * value + math.sqrt(1 - r * r) * source.standard_normal()
        made[place] = value
    at = np.arange(n)
    series = 7 + 0.15 * made + 0.1 * np.sin(2 * np.pi * at / 7) + math.log(per_month) / 30 * at
    series[n // 2 :] += math.log(step)
    return without_rhythm(series, 7)


def warned(series: np.ndarray[Any, Any]) -> bool:
    """Whether the slope alone gives an early warning."""
    found = mann_kendall(series)
    assert found is not None
    return found.p_value <= TREND_ALPHA and found.per_step * 30 >= math.log1p(STEEP)


def trends(seeds: int) -> Iterator[Figure]:
    """Change points and early warnings in 90 days, with the truth known."""
    half = TREND_DAYS // 2
    for r in (0.0, 0.5, 0.7):
        source = np.random.default_rng(5)
        false = sum(len(change_points(days(source, r)).changes) for _ in range(seeds)) / seeds
        hits = sum(
            any(abs(change.place - half) <= 4 for change in change_points(days(source, r, step=1.49)).changes)
            for _ in range(seeds)
        )
        wrong = sum(warned(days(source, r)) for _ in range(seeds))
        right = sum(warned(days(source, r, per_month=1.3)) for _ in range(seeds))
        name = f"correlation {r:g} from day to day"
        yield Figure(f"{name}: false change points a series", false, "", 0.13, "measured before")
        yield Figure(f"{name}: steps of 49 % found (± 4 days)", hits / seeds, "", 0.93, "measured before", True)
        yield Figure(f"{name}: false early warnings", wrong / seeds, "", 0.05, "measured before")
        yield Figure(f"{name}: 30 % a month warned of", right / seeds, "", 0.90, "measured before", True)


def accuracy() -> Iterator[Figure]:
    """The largest relative error of p50, p90, p95, p99 from rollups on real durations, against sorted values."""
    data = shared_root() / "data"
    for name, read in (("aider_analytics.jsonl.gz", _aider), ("azure_llm_code_trace.csv.gz", _azure)):
        if not (data / name).is_file():
            print(f"(without {name}: set RALEX_SHARED to the directory of data)")
            continue
        worst, values = _worst_error(read(data / name))
        yield Figure(f"{name}: largest error of a percentile from rollups", 100 * worst, "%", 1, "the limit")
        yield Figure(f"{name}: durations", values, "")


def _aider(path: Path) -> list[Operation]:
    chunks = importer_for("aider", ImportOptions()).read(path, Position(), final=True, memory=NoMemory())
    return [operation for chunk in chunks for operation in chunk.operations if operation.duration_ms is not None]


def _azure(path: Path) -> list[Operation]:
    """The trace has no durations: 300 ms and 12 ms a token, which keeps the real spread and arrival times."""
    with gzip.open(path, "rt") as lines:
        made: list[Operation] = []
        for number, row in enumerate(csv.DictReader(line for line in lines if line.strip())):
            at = datetime.fromisoformat(row["TIMESTAMP"][:26]).replace(tzinfo=UTC)
            took = 300.0 + 12 * int(row["GeneratedTokens"])
            made.append(Operation(f"azure-{number}", "llm", "complete", round(at.timestamp() * 1e6), took))
        return made


def _worst_error(operations: list[Operation]) -> tuple[float, int]:
    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory:
        store = DuckDBStore(Path(directory) / "t.duckdb")
        store.write(operations)
        store.refresh_rollups()
        first, last = min(op.started_at for op in operations), max(op.started_at for op in operations)
        found = summarise(store, Scope(Window(first // 1_000_000 * 1_000_000, last + 1)), limit=1000)
        store.close()
    worst = 0.0
    for row in found.rows:
        exact = sorted(op.duration_ms or 0 for op in operations if (op.kind, op.name) == row.group)
        for q, value in ((0.5, row.p50_ms), (0.9, row.p90_ms), (0.95, row.p95_ms), (0.99, row.p99_ms)):
            wanted = exact[max(0, math.ceil(q * len(exact) - 1e-9) - 1)] if exact else 0
            if wanted and value is not None:
                worst = max(worst, abs(value / wanted - 1))
    return worst, len(operations)


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.regression", description=__doc__)
    parser.add_argument("--seeds", type=int, default=60, help="simulated days per setting, twice")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    figures: list[Figure] = []
    began = time.perf_counter()
    for part in (accuracy(), *(regressions(noise, given.seeds) for noise in SETTINGS), trends(5 * given.seeds)):
        found = list(part)
        report(found, given.json)
        figures += found
    print(f"{time.perf_counter() - began:.0f} s")
    return figures


if __name__ == "__main__":
    run()
