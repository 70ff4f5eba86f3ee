"""A measured figure beside what it is compared with, and how both are printed."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` measured here, `reference` measured elsewhere or aimed for; both in `unit`."""

    what: str
    value: float
    unit: str
    reference: float | None = None
    reference_name: str = ""
    more_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times better than the reference (above 1: better); None without one."""
        if not self.reference or not self.value:
            return None
        return self.value / self.reference if self.more_is_better else self.reference / self.value

    def line(self) -> str:
        text = f"{self.what:<58} {_number(self.value):>10} {self.unit:<12}"
        if self.ratio is not None and self.reference is not None:
            text += f" {_number(self.ratio):>7} × better than {self.reference_name} ({_number(self.reference)})"
        return text

    def row(self, command: str) -> str:
        """The figure as a row of docs/performance.md."""
        compared = "" if self.ratio is None else f"{_number(self.ratio)} × better than {self.reference_name}"
        return f"| {self.what} | {_number(self.value)} {self.unit}".rstrip() + f" | {compared} | `{command}` |"


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def report(figures: Sequence[Figure], json_path: Path | None = None) -> None:
    """Print figures, and append them to a file as one JSON object a line when asked to."""
    for figure in figures:
        print(figure.line(), flush=True)
    if json_path is not None:
        with json_path.open("a") as file:
            for figure in figures:
                file.write(json.dumps(asdict(figure) | {"ratio": figure.ratio, "machine": machine()}) + "\n")


def machine() -> str:
    """The machine in a few words: what a figure means little without."""
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{psutil.cpu_count()} CPUs, {memory:.0f} GiB, {system}"


def timed_ms(work: Callable[[], object], repeats: int, pause_s: float = 0.0) -> list[float]:
    """Milliseconds of each of `repeats` calls, ascending, with a pause before each that is not counted."""
    found: list[float] = []
    for _ in range(repeats):
        time.sleep(pause_s)
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1e3)
    return sorted(found)


def p95(ascending: Sequence[float]) -> float:
    """The nearest-rank 95th percentile of sorted values."""
    return ascending[max(0, -(-95 * len(ascending) // 100) - 1)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
