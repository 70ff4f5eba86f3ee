"""A server that cannot start or store says so in one sentence, exits with a code not 0 and loses nothing."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.support.server import HOST, READY_WITHIN_S, Server, free_port, running
from tests.support.stored import stored_ids

pytestmark = pytest.mark.process


def refusal(server: Server) -> str:
    """What a server says that must not start: it ends by itself and says one thing, without a traceback."""
    try:
        server.spawn()
        code = server.wait(READY_WITHIN_S)
        said = server.log().strip()
        assert code not in (0, None), f"exit code {code}: {said}"
    finally:
        server.close()
    assert "Traceback" not in said, said
    assert len(said.split("\n\n")) == 1, said
    return " ".join(said.split())


def operations(count: int, seed: int = 1) -> list[dict[str, object]]:
    """Operations with ids `op-<seed>-<n>`."""
    started_at = time.time_ns() // 1000
    return [
        {"operation_id": f"op-{seed}-{n}", "name": "chat", "kind": "llm", "started_at": started_at + n}
        for n in range(count)
    ]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def filled_home(home: Path) -> Path:
    """A data directory in which a server that is gone stored ten operations."""
    with running(home) as server:
        assert server.send(operations(10)).status == 200
        assert server.stop() == 0, server.log()
    return home


def test_a_taken_port_is_named(home: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        said = refusal(Server(home, port=port))
    assert str(port) in said
    assert "--port" in said


def test_a_home_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    said = refusal(Server(tmp_path / "file" / "home"))
    assert str(tmp_path / "file") in said
    assert "RALEX_MONITOR_HOME" in said


def test_a_setting_that_is_wrong_is_named(home: Path) -> None:
    said = refusal(Server(home, extra_environment={"RALEX_MONITOR_TIMEZONE": "Mars/Olympus"}))
    assert "timezone" in said
    assert "Mars/Olympus" in said


def test_a_second_server_on_the_same_home_leaves_the_first_alone(home: Path) -> None:
    with running(home) as first:
        said = refusal(Server(home, port=free_port()))
        assert str(home) in said
        assert first.send(operations(3)).status == 200
        assert first.status()["operations"] == 3


def test_a_telemetry_schema_newer_than_the_code_is_left_as_it_is(filled_home: Path) -> None:
    path = filled_home / "telemetry.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("update meta set value = '999' where key = 'schema_version'")
    before = path.read_bytes()
    said = refusal(Server(filled_home))
    assert "999" in said
    assert "pgrade" in said
    assert path.read_bytes() == before


def test_a_state_schema_newer_than_the_code_is_left_as_it_is(filled_home: Path) -> None:
    path = filled_home / "state.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("update alembic_version set version_num = 'from_the_future'")
        connection.commit()
    said = refusal(Server(filled_home))
    assert str(path) in said
    assert "pgrade" in said
    assert len(stored_ids(filled_home)) == 10


@pytest.mark.parametrize("name", ["telemetry.duckdb", "state.sqlite"])
def test_a_damaged_file_is_named_and_left_as_it_is(filled_home: Path, name: str) -> None:
    path = filled_home / name
    path.write_bytes(b"\xde\xad\xbe\xef" * 16 + path.read_bytes()[64:])
    before = path.read_bytes()
    said = refusal(Server(filled_home))
    assert str(path) in said
    assert path.read_bytes() == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(mount)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"needs a small file system to fill, and mounting one failed: {mounted.stderr.strip()}")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def fill(directory: Path) -> Path:
    """Take every byte that is left in a file system; returns the file to delete to give them back."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return filler


def test_a_full_disk_at_the_start_is_named(small_disk: Path) -> None:
    fill(small_disk)
    said = refusal(Server(small_disk / "home"))
    assert "full" in said or "No space" in said
    assert str(small_disk) in said


def test_a_disk_that_fills_up_refuses_what_it_cannot_keep_and_goes_on_when_there_is_room(
    small_disk: Path,
) -> None:
    home = small_disk / "home"
    with running(home) as server:
        assert server.send(operations(10, seed=1)).status == 200
        filler = fill(small_disk)

        refused = server.send(operations(2000, seed=2))
        assert refused.status in (503, 507), refused
        assert "full" in refused.json()["error"]["message"]

        filler.unlink()
        assert server.send(operations(10, seed=3)).status == 200
        assert server.send(operations(2000, seed=2)).status == 200
        assert server.stop() == 0, server.log()
    assert len(stored_ids(home)) == 2020
    assert set(stored_ids(home).values()) == {1}
