"""Every figure of docs/performance.md, one bench after the other: `python -m bench.run [NAME …] [--json FILE]`."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
from pathlib import Path

from bench.figure import Figure, machine

BENCHES = (
    "footprint",
    "startup",
    "operation_record",
    "budget_guard",
    "otlp_decode",
    "ingest",
    "import_aider",
    "overview",
    "live",
    "panels",
    "costs",
    "regression",
    "forecast",
    "resource_sampling",
    "bottlenecks",
    "kill",
    "soak",
    "mutate",
    "gateway",
    "llm_instruments",
)
PROGRAMS = ("pricing", "sdk_overhead", "instruments")
"""Benches that print for themselves, in a process of their own."""


def run_one(name: str, json_path: Path | None) -> list[Figure]:
    """Run a bench; the figures it gives, none for those that only print."""
    if name in PROGRAMS:
        subprocess.run([sys.executable, "-m", f"bench.{name}"], check=True)
        return []
    return importlib.import_module(f"bench.{name}").run(["--json", str(json_path)] if json_path else []) or []


def main() -> None:
    names = (*BENCHES, *PROGRAMS)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(names), help=f"which: {', '.join(names)}")
    parser.add_argument("--json", type=Path, help="append every figure to this file, one JSON object a line")
    parser.add_argument("--markdown", type=Path, help="write the table of docs/performance.md to this file")
    given = parser.parse_args()
    for name in given.names:
        if name not in names:
            parser.error(f"there is no bench {name!r}; choose from {', '.join(names)}")
    print(machine())
    rows = [f"Measured on {machine()}.", "", "| what | figure | compared with | again |", "|---|---|---|---|"]
    for name in given.names:
        print(f"\n{name}", flush=True)
        began = time.perf_counter()
        rows += [figure.row(f"python -m bench.{name}") for figure in run_one(name, given.json)]
        print(f"({time.perf_counter() - began:.0f} s)", flush=True)
        if given.markdown:
            given.markdown.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
