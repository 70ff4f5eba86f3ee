"""What knowing every id costs: commits of new operations to a store that holds many, by two versions in turns.

`--before` names a checkout of the version to compare with (`git worktree add ../before REVISION`). Each turn is a
process of its own on a fresh copy of the same store; its first commit, in which the ids are read, is shown apart.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil

from bench import dataset
from bench.figure import Figure, median, report
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.operations import random_operations

ROOT = Path(__file__).parents[1]


def turn(path: Path, count: int, batch: int, end_us: int) -> dict[str, float]:
    """Commit `count` new operations, `batch` at a time, as they would come in."""
    operations = [
        operation._replace(operation_id=uuid.uuid4().hex, started_at=end_us + index * 100)
        for index, operation in enumerate(random_operations(1, count))
    ]
    store = DuckDBStore(path)
    idle = psutil.Process().memory_info().rss
    began = time.perf_counter()
    stored = store.write(operations[:batch]).inserted
    first_s = time.perf_counter() - began
    began = time.perf_counter()
    for start in range(batch, count, batch):
        stored += store.write(operations[start : start + batch]).inserted
    rest_s = time.perf_counter() - began
    rss = psutil.Process().memory_info().rss
    store.close()
    if stored != count:
        raise SystemExit(f"{count} new operations were written, {stored} of them were stored.")
    return {"first_s": first_s, "per_s": (count - batch) / rest_s, "grown_mb": (rss - idle) / 1e6}


def in_process(tree: Path, source: Path, arguments: list[str]) -> dict[str, float]:
    """One turn of the code in `tree` on a copy of the store `source`."""
    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory:
        copy = Path(directory) / "telemetry.duckdb"
        shutil.copyfile(source, copy)
        command = [sys.executable, str(Path(__file__)), "--turn", str(copy), *arguments]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tree), str(ROOT)))}
        done = subprocess.run(command, cwd=directory, env=environment, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.identity", description=__doc__)
    parser.add_argument("--before", type=Path, help="a checkout of the version to compare with")
    parser.add_argument("--stored", type=int, default=1_000_000, help="operations in the store")
    parser.add_argument("--operations", type=int, default=60_000, help="new ones in each turn")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--end-us", type=int, default=time.time_ns() // 1000)
    parser.add_argument("--turn", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    if given.turn is not None:
        print(json.dumps(turn(given.turn, given.operations, given.batch, given.end_us)))
        return []
    passed = ["--operations", str(given.operations), "--batch", str(given.batch), "--end-us", str(given.end_us)]
    trees = {"now": ROOT} if given.before is None else {"before": given.before.resolve(), "now": ROOT}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory:
        dataset.build(Path(directory), given.stored, end_us=given.end_us)
        for _ in range(given.repeats):
            for name, tree in trees.items():
                runs[name].append(in_process(tree, Path(directory) / "telemetry.duckdb", passed))
    what = f"{given.stored:,} stored, commits of {given.batch}"
    figures: list[Figure] = []
    for name, found in runs.items():
        figures += [
            Figure(f"{what}, {name}", median([one["per_s"] for one in found]), "operations/s"),
            Figure(f"{what}, {name}, first commit", median([one["first_s"] for one in found]) * 1000, "ms"),
            Figure(f"{what}, {name}, memory of the turn", median([one["grown_mb"] for one in found]), "MB"),
        ]
    if "before" in runs:
        pairs = zip(runs["now"], runs["before"], strict=True)
        ratio = median([now["per_s"] / before["per_s"] for now, before in pairs])
        figures.append(Figure(f"{what}, now ÷ before", ratio, "×", 0.9, "the limit", more_is_better=True))
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()
