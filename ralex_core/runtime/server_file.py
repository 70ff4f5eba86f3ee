"""`server.json` in the data directory: which process owns the stores, and where it answers.

Written by the server after it has opened the stores, removed when it ends. A server that was killed leaves it behind;
a file whose process is gone counts as absent.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from ralex_core.errors import ConfigError
from ralex_core.private_files import open_private

SERVER_FILE = "server.json"
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - read, not bound
"""Where to ask a server that listens on every address."""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A running server: its process and the address it answers at, without a trailing slash."""

    pid: int
    url: str


def server_url(host: str, port: int) -> str:
    """The address to reach a server from this machine that was told to bind `host` and `port`."""
    name = ANY_ADDRESS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}"


def write_server_file(home: Path, host: str, port: int) -> ServerAddress:
    """Say that this process owns the stores in `home`. Replaces what a killed server left.

    Raises:
        ConfigError: the file cannot be written.
    """
    address = ServerAddress(os.getpid(), server_url(host, port))
    path = home / SERVER_FILE
    partial = path.with_suffix(f".{address.pid}.partial")
    try:
        with open_private(partial, "w") as file:
            json.dump({"pid": address.pid, "url": address.url}, file)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error.strerror}. Set RALEX_MONITOR_HOME elsewhere.") from error
    return address


def read_server_file(home: Path) -> ServerAddress | None:
    """The server that says it owns `home`; None when none does, or its process is gone.

    A live process is not proof: its id may have gone to another program. Whoever connects finds out.
    """
    address = _read(home / SERVER_FILE)
    return address if address is not None and psutil.pid_exists(address.pid) else None


def remove_server_file(home: Path) -> None:
    """Take the file away if it is this process's own. Safe to call twice."""
    address = _read(home / SERVER_FILE)
    if address is not None and address.pid == os.getpid():
        (home / SERVER_FILE).unlink(missing_ok=True)


def _read(path: Path) -> ServerAddress | None:
    try:
        found = json.loads(path.read_bytes())
        return ServerAddress(int(found["pid"]), str(found["url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
