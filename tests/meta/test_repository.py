"""What must hold for the files of the project as a whole."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pip._internal.models.index import PyPI

from ralex_core import __version__
from tests.support.repository import ROOT, project_files


def texts() -> list[tuple[Path, str]]:
    """Every text file of the project."""
    found: list[tuple[Path, str]] = []
    for path in project_files():
        content = path.read_bytes()
        if b"\0" not in content:
            found.append((path, content.decode(errors="replace")))
    return found


def registry_hosts() -> set[str]:
    """Hosts of the package registries this machine's clients use."""
    hosts = {PyPI.netloc, PyPI.file_storage_domain}
    if npm := shutil.which("npm"):
        answer = subprocess.run(
            [npm, "config", "get", "registry"], check=True, capture_output=True, text=True, cwd=ROOT
        )
        hosts.add(answer.stdout.strip().split("://", 1)[-1].split("/", 1)[0])
    return hosts


def test_no_file_names_a_package_registry() -> None:
    hosts = registry_hosts()
    assert [(str(path), host) for path, text in texts() for host in hosts if host in text] == []


def test_no_file_names_a_path_of_this_machine() -> None:
    places = {f"{ROOT}/", f"{Path.home()}/"} - {"//"}
    assert [(str(path), place) for path, text in texts() for place in places if place in text] == []


def test_the_changelog_speaks_of_this_version() -> None:
    assert re.search(rf"^## {re.escape(__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_licence_is_the_apache_licence_unchanged() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("wording", ["node_modules/", ".venv/", "*.duckdb"])
def test_what_is_made_by_running_is_not_tracked(wording: str) -> None:
    assert wording in (ROOT / ".gitignore").read_text().splitlines()


VENDOR = ROOT / "ralex_core" / "dashboard" / "static" / "vendor"


def test_vendored_files_are_the_ones_that_were_published() -> None:
    lines = (VENDOR / "CHECKSUMS").read_text().splitlines()
    expected = {name: digest for digest, name in (line.split() for line in lines if line and not line.startswith("#"))}
    found = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "CHECKSUMS"
    }
    assert found == expected


def test_every_vendored_library_carries_its_licence() -> None:
    assert [
        library.name for library in VENDOR.iterdir() if library.is_dir() and not (library / "LICENSE").is_file()
    ] == []
