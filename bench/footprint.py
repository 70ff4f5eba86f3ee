"""What installing takes: packages and megabytes of the wheel without extras, in a new environment. Downloads."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from bench import peers
from bench.figure import Figure, report
from tests.support.repository import ROOT

INSTALLER = {"pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack", "distutils"}


def installed(directory: Path) -> tuple[list[str], dict[str, float]]:
    """Packages of the environment at `directory`, pip's own aside, and megabytes per top-level name, largest first.

    Megabytes of 2**20 bytes, as `du -m` prints them of blocks on disk: peers were measured with it.
    """
    listing = subprocess.run(
        [directory / "bin" / "python", "-m", "pip", "list", "--format=json"], check=True, capture_output=True, text=True
    )
    names = sorted(row["name"] for row in json.loads(listing.stdout) if row["name"] not in INSTALLER)
    packages = next((directory / "lib").glob("python*")) / "site-packages"
    sizes = {
        entry.name: sum(path.stat().st_blocks * 512 for path in [entry, *entry.rglob("*")] if not path.is_symlink())
        for entry in packages.iterdir()
        if entry.name.split("-")[0] not in INSTALLER
    }
    return names, {name: size / 2**20 for name, size in sorted(sizes.items(), key=lambda item: -item[1])}


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.footprint", description=__doc__)
    parser.add_argument("--verbose", action="store_true", help="list the packages and the largest directories")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as place:
        dist, environment = Path(place) / "dist", Path(place) / "venv"
        subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(ROOT)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        venv.create(environment, with_pip=True)
        wheel = next(dist.glob("*.whl"))
        pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), str(wheel)], check=True)
        names, sizes = installed(environment)
    if given.verbose:
        print(", ".join(names))
        for name, megabytes in list(sizes.items())[:15]:
            print(f"{megabytes:8.1f} MB  {name}")
    figures = [
        Figure("base install, packages", len(names), "", peers.PHOENIX_PACKAGES, peers.PHOENIX),
        Figure("base install, on disk", sum(sizes.values()), "MB", peers.PHOENIX_INSTALL_MB, peers.PHOENIX),
    ]
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()
