"""How long the published Aider log takes from command to committed, first and again, beside only parsing its JSON."""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.figure import Figure, median, report, timed_ms
from ralex_core.collection.importers.base import ImportOptions, NoMemory, Position
from ralex_core.collection.importers.registry import importer_for
from tests.support.server import CLI, environment
from tests.support.shared import shared_root

LIMIT_S = 10.0
"""What the first import may take."""


def command(log: Path, home: Path) -> tuple[float, dict[str, Any]]:
    """Seconds of `ralex-monitor import aider LOG --json`, and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(
        [str(CLI), "import", "aider", str(log), "--json"],
        env=environment(home),
        check=True,
        capture_output=True,
        text=True,
    )
    return time.perf_counter() - began, json.loads(done.stdout)


def read(log: Path) -> int:
    """Read the whole log without storing anything; returns its operations."""
    chunks = importer_for("aider", ImportOptions()).read(log, Position(), final=True, memory=NoMemory())
    return sum(len(chunk.operations) for chunk in chunks)


def parse(log: Path) -> int:
    """The floor: unpack the log and parse every line."""
    with gzip.open(log) as lines:
        return sum(1 for line in lines if json.loads(line))


def run(arguments: list[str] | None = None) -> None:
    """Import into new data directories, and print the medians.

    Raises:
        SystemExit: the log is not there, or importing it again changed something.
    """
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3, help="imports into a new data directory; medians are printed")
    options.add_argument("--json", type=Path, help="append every figure to this file, one JSON object a line")
    given = options.parse_args(arguments)
    log = shared_root() / "data" / "aider_analytics.jsonl.gz"
    if not log.is_file():
        raise SystemExit("This bench needs data/aider_analytics.jsonl.gz: set RALEX_SHARED to the directory of data.")
    first: list[float] = []
    again: list[float] = []
    for _ in range(given.runs):
        with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory:
            home = Path(directory) / "home"
            seconds, report_of_first = command(log, home)
            first.append(seconds)
            seconds, report_of_second = command(log, home)
            again.append(seconds)
        if report_of_second["imported"] or report_of_second["duplicates"] != report_of_first["imported"]:
            raise SystemExit(f"Importing again changed something: {report_of_second}")
    floor_s = median(timed_ms(lambda: parse(log), given.runs)) / 1000
    read_s = median(timed_ms(lambda: read(log), given.runs)) / 1000
    report(
        [
            Figure("first import, from command to committed", median(first), "s", LIMIT_S, "the limit"),
            Figure("importing it again", median(again), "s", LIMIT_S, "the limit"),
            Figure("reading it, nothing stored", read_s, "s", floor_s, "unpacking and parsing its JSON"),
            Figure("lines read, per second", 33_318 / read_s, "lines/s"),
        ],
        given.json,
    )


if __name__ == "__main__":
    run()
