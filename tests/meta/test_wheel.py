"""The wheel people install is whole: built, installed beside nothing of the checkout, it serves a page."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.repository import ROOT
from tests.support.server import environment, running

NO_CHECKOUT = {"PYTHONPATH": ""}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the build tool that is installed here: nothing is downloaded."""
    directory = tmp_path_factory.mktemp("dist")
    run = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(ROOT)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return next(directory.glob("ralex_monitor-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` directory of a new environment: the wheel, and this environment's packages for the rest.

    The packages come by a `.pth` line, which puts them on the path without running their own `.pth` files;
    so the checkout, which an editable install adds in just that way, stays out.
    """
    directory = tmp_path_factory.mktemp("venv")
    venv.create(directory, with_pip=False, symlinks=True)
    scripts = directory / "bin"
    python = scripts / "python"
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--no-deps",
            "--no-index",
            str(wheel),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (directory / "lib" / version / "site-packages" / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts


def test_the_wheel_holds_the_package_its_templates_and_its_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "ralex_core/py.typed" in names
    assert any(name.startswith("ralex_core/_templates/") for name in names)
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert [name for name in names if name.startswith(("tests/", "bench/"))] == []
    tracked = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ralex_core").rglob("*") if path.is_file()}
    left_out = ("__pycache__", "/csrc/")  # C sources go into the source distribution
    assert {name for name in tracked if not any(part in name for part in left_out)} - set(names) == set()


@pytest.mark.process
def test_an_installed_wheel_serves_its_pages_and_what_they_load(installed: Path, tmp_path: Path) -> None:
    python = str(installed / "python")
    place = subprocess.run(
        [python, "-c", "import ralex_core; print(ralex_core.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path / "home", NO_CHECKOUT),
    )
    assert place.stdout.startswith(str(installed.parent)), "the checkout was imported instead of the wheel"

    executable = [str(installed / "ralex-monitor")]
    with running(tmp_path / "home", executable=executable, extra_environment=NO_CHECKOUT) as server:
        page = server.request("GET", "/", headers={"Accept": "text/html"})
        if page.status in (302, 303, 307):
            page = server.request("GET", page.headers["location"], headers={"Accept": "text/html"})
        assert page.status == 200, page
        assert page.headers["content-type"].startswith("text/html")
        loaded = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.body.decode()))
        assert loaded, "the page loads neither style nor script"
        assert {path: server.request("GET", path).status for path in loaded} == dict.fromkeys(loaded, 200)
        assert server.stop() == 0, server.log()
