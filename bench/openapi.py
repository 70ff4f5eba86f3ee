"""schemathesis against a real server: no 5xx, and every answer as the OpenAPI description says."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.repository import ROOT
from tests.support.server import running

COMMAND = Path(sys.executable).parent / "schemathesis"


def fuzz(url: str, examples: int, seed: int, *more: str) -> subprocess.CompletedProcess[str]:
    """`examples` requests of each kind for every route of the server at `url`; the exit code is 0 when all is well."""
    return subprocess.run(
        [
            *(str(COMMAND), "--config-file", str(ROOT / "schemathesis.toml"), "run", f"{url}/openapi.json"),
            *("--max-examples", str(examples), "--seed", str(seed), "--no-color", "--request-timeout", "10", *more),
        ],
        check=False,
        capture_output=True,
        text=True,
    )


def run(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.openapi", description=__doc__)
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory, running(Path(directory) / "home") as server:
        done = fuzz(server.url, given.examples, given.seed, "--continue-on-failure")
    print(done.stdout)
    if done.returncode != 0:
        raise SystemExit(f"schemathesis found something; seed {given.seed}.")


if __name__ == "__main__":
    run()
