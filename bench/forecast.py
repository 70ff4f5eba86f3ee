"""How well series are foretold: M4 Hourly and real ones, beside the seasonal naive forecast and a reference method.

The measures (OWA against Naive2, coverage, MSIS) and the reference method are those of the evaluation kit among the
reference material; all methods run on the same series in the same run. A series counts as forecastable when a
back-test on its past claims ±15 %; what is measured is the point after.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.figure import Figure, report
from ralex_core.stats.forecast import backtest, forecast, naive_forecast
from tests.support.shared import shared_root

Method = Callable[[NDArray[Any], NDArray[Any], int], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]
KIT = "tools/eval"
PERIODS: dict[int, tuple[int, ...]] = {86400: (7,), 3600: (24, 168)}
"""Seconds of a step → rhythms to look for."""


def rhythms(times: NDArray[Any]) -> tuple[int, ...]:
    return PERIODS.get(int(np.median(np.diff(times.astype("int64")[-50:]))), ())


def ours(times: NDArray[Any], values: NDArray[Any], horizon: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    made = forecast(values, horizon, rhythms(times))
    if made is None:
        raise SystemExit("a series of the reference material is too short to foretell")
    return made.mean, made.low, made.high


def naive(times: NDArray[Any], values: NDArray[Any], horizon: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The last day again, its interval from how the days before differed."""
    periods = rhythms(times)[:1]
    lag = periods[0] if periods else 1
    mean = naive_forecast(values, horizon, periods)
    half = float(np.quantile(np.abs(values[lag:] - values[:-lag]), 0.95))
    return mean, mean - half, mean + half


def kit(name: str) -> Any:
    """A module of the evaluation kit.

    Raises:
        SystemExit: it is not there.
    """
    path = shared_root() / KIT / f"{name}.py"
    if not path.is_file():
        raise SystemExit(f"needs {KIT} of the reference material: set RALEX_SHARED to its directory")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def claims(series: list[tuple[NDArray[Any], NDArray[Any], int, tuple[int, ...]]]) -> tuple[int, int, int]:
    """(series, those that claim ±15 %, those of them whose next stretch came within it)."""
    claimed = kept = 0
    for past, came, horizon, periods in series:
        tried = backtest(past, horizon, 8, periods, step=max(1, horizon // 2))
        if tried is None or not tried.earned:
            continue
        made = forecast(past, horizon, periods)
        claimed += 1
        kept += made is not None and bool(abs(made.mean.sum() - came.sum()) <= 0.15 * abs(came.sum()))
    return len(series), claimed, kept


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.forecast", description=__doc__)
    parser.add_argument("--series", type=int, default=207, help="series of the development half of M4 Hourly")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    measures, reference = kit("forecast_eval"), kit("baseline_forecast")
    began = time.perf_counter()
    results: dict[str, dict[str, Any]] = {}
    real: dict[str, dict[str, Any]] = {}
    methods: dict[str, Method] = {"ours": ours, "seasonal naive": naive, "reference": reference.light}
    for name, method in methods.items():
        with np.errstate(all="ignore"):
            results[name] = measures.run_m4(method, "dev", given.series)
            real[name] = measures.summary(measures.run_real(method, "dev"))
    mine, simple, other = results["ours"], results["seasonal naive"], results["reference"]
    figures = [
        Figure("M4 Hourly, OWA", mine["OWA"], "", other["OWA"], "the reference method"),
        Figure("M4 Hourly, OWA of the seasonal naive forecast", simple["OWA"], ""),
        Figure("M4 Hourly, MSIS of 95 % intervals", mine["MSIS"], "", other["MSIS"], "the reference method"),
        Figure("M4 Hourly, values inside their 95 % interval", 100 * mine["coverage95"], "%"),
        Figure("M4 Hourly, same of the reference method", 100 * other["coverage95"], "%"),
        Figure(
            "one forecast of 48 hours, CPU", 1e3 * mine["fit_s_mean"], "ms", 1e3 * other["fit_s_mean"], "the reference"
        ),
    ]
    for step, title in (("D", "real daily series"), ("h", "real hourly series")):
        figures += [
            Figure(
                f"{title}, median WAPE",
                real["ours"][step]["WAPE_median"],
                "",
                real["seasonal naive"][step]["WAPE_median"],
                "seasonal naive",
            ),
            Figure(f"{title}, values inside their 95 % interval", 100 * real["ours"][step]["coverage95"], "%"),
        ]
    hours = [(past, came, len(came), PERIODS[3600]) for _, past, came in measures.load_m4("dev", given.series)]
    for _, step, _, values in measures.load_real("dev"):
        horizon = {"D": 7, "h": 24, "10s": 30}[step]
        periods = PERIODS.get({"D": 86400, "h": 3600, "10s": 10}[step], ())
        hours += [
            (values[:origin], values[origin : origin + horizon], horizon, periods)
            for origin in range(len(values) - 4 * horizon, len(values) - horizon + 1, horizon)
        ]
    tried, claimed, kept = claims(hours)
    figures += [
        Figure("stretches that claim ±15 %", 100 * claimed / tried, f"% of {tried}"),
        Figure("claims of ±15 % that were kept", 100 * kept / max(1, claimed), "%", 90, "the aim", more_is_better=True),
    ]
    report(figures, given.json)
    print(f"{time.perf_counter() - began:.0f} s")
    return figures


if __name__ == "__main__":
    run()
