"""`kill -9` under load, again and again, and a disk that fills up: what was acknowledged against what is stored."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench import peers
from bench.figure import Figure, p95, report
from tests.support.kill_load import SmallDisk, can_mount, every_door
from tests.support.load import Crowd
from tests.support.server import READY_WITHIN_S, Server
from tests.support.stored import rollup_disagreements, stored_ids

DISK_MB = 256
FULL_CHANCE = 0.3
"""Rounds in which the disk is filled before the kill, where a small one can be mounted."""
LEFT_KIB = 600


@dataclass(slots=True)
class Outcome:
    """What became of everything that was sent. Seconds in `ready_s`."""

    acknowledged: int = 0
    lost: set[str] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)
    invented: set[str] = field(default_factory=set)
    rollups: list[tuple[object, ...]] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    full_rounds: int = 0
    ready_s: list[float] = field(default_factory=list)


def kills(directory: Path, count: int, seed: int, *, longest_s: float = 1.5) -> Outcome:
    """Kill a server `count` times at random moments under load from every door, the disk full at some of them."""
    rng = random.Random(seed)
    disk = SmallDisk(directory / "disk", DISK_MB) if can_mount(directory) else None
    home = (disk.place if disk else directory) / "home"
    server = Server(home)
    crowd = Crowd(server.port, every_door(seed, time.time_ns() // 1000 - 2 * 3_600_000_000))
    outcome = Outcome()
    try:
        for _ in range(count):
            outcome.ready_s.append(server.start())
            crowd.start()
            crowd.first_answer.wait(READY_WITHIN_S)
            server.wait(rng.uniform(0, longest_s))
            if disk is not None and rng.random() < FULL_CHANCE:
                disk.fill(rng.randrange(LEFT_KIB))
                outcome.full_rounds += 1
                server.wait(rng.uniform(0, longest_s))
            server.kill()
            crowd.stop()
            if disk is not None:
                disk.free()
        outcome.ready_s.append(server.start())
        if server.stop() != 0:
            outcome.unexpected.append("the last server did not end cleanly")
        acknowledged, stored = Counter(crowd.acknowledged), stored_ids(home)
        outcome.acknowledged = len(acknowledged)
        outcome.lost = set(acknowledged.keys() - stored.keys())
        outcome.doubled = {identifier for identifier, times in stored.items() if times > 1}
        outcome.invented = set(stored.keys() - acknowledged.keys() - crowd.unanswered())
        outcome.rollups = rollup_disagreements(home)
        outcome.unexpected += crowd.unexpected
    finally:
        server.close()
        crowd.stop()
        if disk is not None:
            disk.close()
    return outcome


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}")
    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory:
        outcome = kills(Path(directory), given.kills, given.seed)
    what = f"{given.kills} kills, {outcome.full_rounds} on a full disk"
    figures = [
        Figure(f"{what}, acknowledged", outcome.acknowledged, ""),
        Figure(f"{what}, acknowledged and lost", len(outcome.lost), ""),
        Figure(f"{what}, stored twice", len(outcome.doubled), ""),
        Figure(f"{what}, rollups that differ", len(outcome.rollups), ""),
        Figure(
            "ready again after kill -9, p95",
            p95(sorted(outcome.ready_s[1:])),
            "s",
            peers.PHOENIX_READY_S,
            peers.PHOENIX,
        ),
    ]
    report(figures, given.json)
    if outcome.unexpected:
        raise SystemExit(f"Unexpected answers: {outcome.unexpected[:3]}")
    if outcome.lost or outcome.doubled or outcome.invented or outcome.rollups:
        raise SystemExit("Operations were lost, doubled or miscounted.")
    return figures


if __name__ == "__main__":
    run()
