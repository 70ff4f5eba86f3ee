"""Which process owns a data directory, and where it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ralex_core.errors import ConfigError
from ralex_core.runtime.server_file import (
    SERVER_FILE,
    ServerAddress,
    read_server_file,
    remove_server_file,
    server_url,
    write_server_file,
)


def test_a_running_server_is_found(tmp_path: Path) -> None:
    assert read_server_file(tmp_path) is None
    write_server_file(tmp_path, "127.0.0.1", 8123)
    assert read_server_file(tmp_path) == ServerAddress(os.getpid(), "http://127.0.0.1:8123")
    assert [file.name for file in tmp_path.iterdir()] == [SERVER_FILE]


def test_it_is_gone_when_the_server_ends(tmp_path: Path) -> None:
    write_server_file(tmp_path, "127.0.0.1", 8123)
    remove_server_file(tmp_path)
    remove_server_file(tmp_path)
    assert read_server_file(tmp_path) is None


def test_what_a_killed_server_left_counts_as_absent_and_is_replaced(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / SERVER_FILE).write_text(json.dumps({"pid": gone.pid, "url": "http://127.0.0.1:1"}))
    assert read_server_file(tmp_path) is None
    write_server_file(tmp_path, "127.0.0.1", 9)
    assert read_server_file(tmp_path) is not None


def test_another_process_s_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / SERVER_FILE).write_text(json.dumps({"pid": os.getppid(), "url": "http://127.0.0.1:1"}))
    remove_server_file(tmp_path)
    assert (tmp_path / SERVER_FILE).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "x", "url": 1}', "null"])
def test_a_file_that_makes_no_sense_counts_as_absent(tmp_path: Path, text: str) -> None:
    (tmp_path / SERVER_FILE).write_text(text)
    assert read_server_file(tmp_path) is None


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        write_server_file(tmp_path / "nowhere", "127.0.0.1", 8000)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("monitor.lan", "http://monitor.lan:80"),
    ],
)
def test_a_server_is_reached_from_its_own_machine(host: str, url: str) -> None:
    assert server_url(host, 80) == url
