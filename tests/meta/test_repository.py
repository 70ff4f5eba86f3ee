"""What must hold for the files of the project as a whole."""

from __future__ import annotations

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
