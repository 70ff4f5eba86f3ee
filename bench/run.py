"""Every figure of docs/performance.md, one bench after the other: `python -m bench.run [NAME …] [--json FILE]`."""

from __future__ import annotations

import argparse
import importlib
import time
from pathlib import Path

from bench.figure import machine

BENCHES = ("footprint", "startup", "operation_record", "ingest", "overview", "live", "panels", "kill")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(BENCHES), help=f"which: {', '.join(BENCHES)}")
    parser.add_argument("--json", type=Path, help="append every figure to this file, one JSON object a line")
    given = parser.parse_args()
    print(machine())
    for name in given.names:
        if name not in BENCHES:
            parser.error(f"there is no bench {name!r}; choose from {', '.join(BENCHES)}")
        print(f"\n{name}")
        began = time.perf_counter()
        importlib.import_module(f"bench.{name}").run(["--json", str(given.json)] if given.json else [])
        print(f"({time.perf_counter() - began:.0f} s)")


if __name__ == "__main__":
    main()
