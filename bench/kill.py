"""`kill -9` under load, again and again: what was acknowledged against what is stored, and the time to be back."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench import peers
from bench.figure import Figure, p95, report
from tests.support.load import Crowd, endless, native_batch, otlp_batch
from tests.support.server import READY_WITHIN_S, Server
from tests.support.stored import stored_ids


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}")
    rng = random.Random(given.seed)
    started_at = time.time_ns() // 1000 - 2 * 3_600_000_000
    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory:
        server = Server(Path(directory) / "home")
        doors = [(native_batch, 200), (native_batch, 5), (otlp_batch, 512), (otlp_batch, 50)]
        sources = [endless(make, given.seed + n, size, started_at) for n, (make, size) in enumerate(doors)]
        crowd = Crowd(server.port, sources)
        ready: list[float] = []
        try:
            for _ in range(given.kills):
                ready.append(server.start())
                crowd.start()
                crowd.first_answer.wait(READY_WITHIN_S)
                server.wait(rng.uniform(0, 1.5))
                server.kill()
                crowd.stop()
            ready.append(server.start())
            server.stop()
        finally:
            server.close()
            crowd.stop()
        stored = stored_ids(server.home)
    acknowledged = Counter(crowd.acknowledged)
    after_kill = sorted(ready[1:])
    figures = [
        Figure(f"{given.kills} kills, acknowledged operations", len(acknowledged), ""),
        Figure(f"{given.kills} kills, acknowledged and lost", len(acknowledged.keys() - stored.keys()), ""),
        Figure(f"{given.kills} kills, stored twice", sum(times > 1 for times in stored.values()), ""),
        Figure("ready again after kill -9, p95", p95(after_kill), "s", peers.PHOENIX_READY_S, peers.PHOENIX),
    ]
    report(figures, given.json)
    if crowd.unexpected:
        raise SystemExit(f"Unexpected answers: {crowd.unexpected[:3]}")
    if acknowledged.keys() - stored.keys() or any(times > 1 for times in stored.values()):
        raise SystemExit("Operations were lost or doubled.")
    return figures


if __name__ == "__main__":
    run()
