"""`ralex-monitor top` against the real server process: printed once, as JSON, and live in a real terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import CLI, Server, environment, running

pytestmark = pytest.mark.process

WITHIN_S = 60.0
HOSTILE = "evil\x1b[2J\x1b]0;owned\x07"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "home") as started:
        now_us = time.time_ns() // 1000
        sent = started.send(
            [
                {
                    "operation_id": f"op-{number}",
                    "kind": "llm",
                    "name": HOSTILE if number == 0 else "chat",
                    "provider": "openai",
                    "model": "gpt-4o",
                    "input_tokens": 1000,
                    "output_tokens": 100,
                    "duration_ms": 900.0,
                    "started_at": now_us - number * 1_000_000,
                }
                for number in range(30)
            ]
        )
        assert sent.status == 200, sent
        yield started


def top(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(CLI), "top", *arguments],
        env=environment(home, variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def test_piped_it_prints_one_frame_without_a_control_character(server: Server) -> None:
    ran = top(server.home, COLUMNS="90")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Spend today" in ran.stdout
    assert "gpt-4o" in ran.stdout
    assert "evil·[2J·]0;owned·" in ran.stdout
    assert "\x1b" not in ran.stdout
    assert max(len(line) for line in ran.stdout.splitlines()) <= 90


def test_json_is_one_object(server: Server) -> None:
    ran = top(server.home, "--json")
    assert len(ran.stdout.splitlines()) == 1
    told = json.loads(ran.stdout)
    assert told["metrics"]["performance"]["operations"] == 30
    assert "series" not in told["metrics"]["performance"]
    assert told["health"]["status"] == "ok"
    assert [row["label"] for row in told["models"]] == ["gpt-4o"]
    assert len(told["recent"]) == 30


def test_by_address_with_and_without_the_token(tmp_path: Path) -> None:
    token = "correct-horse-battery"
    with running(tmp_path / "home", extra_environment={"RALEX_MONITOR_TOKEN": token}) as server:
        assert "nothing ran" in top(tmp_path / "other", "--once", "--url", server.url, RALEX_MONITOR_TOKEN=token).stdout
        refused = top(tmp_path / "other", "--once", "--url", server.url)
    assert refused.returncode == 1
    assert "RALEX_MONITOR_TOKEN" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    for ran in (top(tmp_path / "home"), top(tmp_path / "home", "--url", "http://127.0.0.1:9")):
        assert ran.returncode == 1
        assert ran.stderr.startswith("ralex-monitor: No monitor")
        assert "Traceback" not in ran.stderr


class Terminal:
    """`top` in a pseudo-terminal of 120 columns and 40 lines."""

    def __init__(self, home: Path) -> None:
        self._mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        variables = environment(home, {"TERM": "xterm-256color"})
        self.process = subprocess.Popen(
            [str(CLI), "top", "--interval", "0.2"], env=variables, stdin=theirs, stdout=theirs, stderr=theirs
        )
        self.seen = ""

    def wait_for(self, text: str) -> None:
        """Read on until `text` is shown; what was shown before does not count."""
        self.seen = ""
        until = time.monotonic() + WITHIN_S
        while text not in self.seen:
            assert time.monotonic() < until, f"{text!r} was not shown: {self.seen[-3000:]!r}"
            if select.select([self._mine], [], [], 0.2)[0]:
                self.seen += os.read(self._mine, 65536).decode(errors="replace")

    def press(self, keys: str) -> None:
        os.write(self._mine, keys.encode())

    def ended(self) -> int:
        """The exit code; what is still printed is read, so that it can end."""
        until = time.monotonic() + WITHIN_S
        while self.process.poll() is None:
            assert time.monotonic() < until, "it did not end"
            if select.select([self._mine], [], [], 0.1)[0]:
                self.seen += os.read(self._mine, 65536).decode(errors="replace")
        return self.process.returncode

    def settings(self) -> list[object]:
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for file in (self._mine, self._theirs):
            with contextlib.suppress(OSError):
                os.close(file)


@pytest.fixture
def terminal(server: Server) -> Iterator[Terminal]:
    opened = Terminal(server.home)
    yield opened
    opened.close()


def test_live_it_shows_what_is_committed_obeys_its_keys_and_leaves_the_terminal_as_it_was(
    server: Server, terminal: Terminal
) -> None:
    terminal.wait_for("Spend today")
    assert server.send([{"name": "just now", "kind": "tool"}]).status == 200
    terminal.wait_for("just now")
    terminal.press("c")
    terminal.wait_for("calls▾")
    terminal.press(" ")
    terminal.wait_for("● paused")
    terminal.press(" ")
    terminal.wait_for("● live")
    terminal.press("q")
    assert terminal.ended() == 0
    assert terminal.settings() == terminal.before


def test_a_server_that_goes_away_and_comes_back(server: Server, terminal: Terminal) -> None:
    terminal.wait_for("● live")
    server.stop()
    terminal.wait_for("● reconnecting")
    server.start()
    terminal.wait_for("● live")
    terminal.press("q")
    assert terminal.ended() == 0
