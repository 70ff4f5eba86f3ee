"""A process that ends says nothing that nobody asked for, and leaves nothing that others can read."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.server import CLI, STOP_WITHIN_S, environment, running

pytestmark = pytest.mark.process

PAGES = ("/", "/costs", "/api/v1/status", "/api/v1/operations")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("used", [False, True])
def test_a_server_ends_with_nothing_but_its_first_line(tmp_path: Path, number: signal.Signals, used: bool) -> None:
    with running(tmp_path / "home") as server:
        for page in PAGES if used else ():
            assert server.request("GET", page).status < 500
        server.send_signal(number)
        assert server.wait(STOP_WITHIN_S) == 0, server.log()
        lines = server.log().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("Ralex Monitor: http://")


def test_commands_end_quietly_and_what_they_make_is_private(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    log = tmp_path / "rows.jsonl"
    log.write_text("{}\nno json\n")
    before = os.umask(0)
    try:
        for arguments in (
            ["budget", "list"],
            ["import", "aider", str(log)],
            ["status"],
            ["doctor"],
            ["backup", str(tmp_path / "b.zip")],
            ["restore", "--force", str(tmp_path / "b.zip")],
        ):
            ran = subprocess.run(
                [str(CLI), *arguments], env=environment(home), capture_output=True, text=True, check=False, timeout=60
            )
            assert "nanobind" not in ran.stderr, (arguments, ran.stderr)
            assert "Traceback" not in ran.stderr, (arguments, ran.stderr)
        with running(home, arguments=["--demo"]):
            assert_private(home)
    finally:
        os.umask(before)
    assert_private(home)
    assert (tmp_path / "b.zip").stat().st_mode & 0o777 == 0o600


def assert_private(home: Path) -> None:
    found = [home, *home.rglob("*")]
    assert len(found) > 2
    open_to_others = {str(one): oct(one.lstat().st_mode) for one in found if one.lstat().st_mode & 0o077}
    assert open_to_others == {}
