"""The real server in its own process: started on a free port, waited for, talked to, ended by its pid."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

CLI = Path(sys.executable).parent / "ralex-monitor"
HOST = "127.0.0.1"
READY_WITHIN_S = 30.0
STOP_WITHIN_S = 20.0


class Answer(NamedTuple):
    """What the server said. `headers` has lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def free_port() -> int:
    """A port nobody listens on at the moment of asking."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with `home` as the data directory and none of the caller's own settings.

    `HOME` moves with it, so that logs of assistants on this machine are neither found nor followed.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("RALEX_MONITOR_")}
    # What runs the tests may have set these: a program asks its own terminal, and is compiled once, not at every start.
    for name in ("COLUMNS", "LINES", "PYTHONDONTWRITEBYTECODE"):
        own.pop(name, None)
    return {
        **own,
        "RALEX_MONITOR_HOME": str(home),
        "HOME": str(home.parent / "nobody"),
        "NO_COLOR": "1",
        **(extra or {}),
    }


class Server:
    """One `ralex-monitor serve` over one data directory; it may be started again after it ended."""

    def __init__(
        self,
        home: Path,
        *,
        port: int | None = None,
        arguments: Sequence[str] = (),
        extra_environment: Mapping[str, str] | None = None,
        executable: Sequence[str] = (str(CLI),),
    ) -> None:
        self.home = home
        self.port = port or free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._command = [*executable, "serve", "--port", str(self.port), "--no-open", *arguments]
        self._environment = environment(home, extra_environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def log(self) -> str:
        """Everything written to standard output and standard error so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def spawn(self) -> None:
        """Start the process without waiting for it."""
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def start(self) -> float:
        """Start and wait until `/readyz` answers 200; returns the seconds that took.

        Raises:
            AssertionError: with the server's own words, when it ends or the deadline passes first.
        """
        began = time.monotonic()
        self.spawn()
        while time.monotonic() - began < READY_WITHIN_S:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.request("GET", "/readyz", timeout=5).status == 200:
                    return time.monotonic() - began
            code = self.wait(0.01)
            assert code is None, f"the server ended with exit code {code}:\n{self.log()}"
        raise AssertionError(f"the server was not ready within {READY_WITHIN_S:g} s:\n{self.log()}")

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, or None when the process still runs after `timeout_s`."""
        assert self._process is not None, "the server was not started"
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "the server was not started"
        self._process.send_signal(number)

    def kill(self) -> None:
        """`kill -9`, and wait until the process is gone."""
        self.send_signal(signal.SIGKILL)
        assert self.wait(STOP_WITHIN_S) is not None

    def stop(self) -> int:
        """Ask the server to end and return its exit code; kills it when it does not end in time."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self.send_signal(signal.SIGTERM)
        code = self.wait(STOP_WITHIN_S)
        if code is None:
            self.kill()
            raise AssertionError(f"the server did not end within {STOP_WITHIN_S:g} s of SIGTERM:\n{self.log()}")
        return code

    def close_process(self) -> None:
        """End the process if it still runs; `start` begins another one."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def close(self) -> None:
        """End whatever still runs, without complaint."""
        self.close_process()
        self._log.close()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float = 60,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout)
        try:
            return ask(connection, method, path, body, headers)
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        """The object of `GET /api/v1/status`."""
        answer = self.request("GET", "/api/v1/status")
        assert answer.status == 200, answer
        return answer.json()

    def send(self, operations: Sequence[Mapping[str, object]]) -> Answer:
        """Send operations through the native JSON door."""
        return self.request(
            "POST",
            "/api/v1/operations",
            json.dumps(operations).encode(),
            {"Content-Type": "application/json"},
        )


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection that stays open."""
    connection.request(method, path, body, dict(headers or {}))
    response = connection.getresponse()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@contextlib.contextmanager
def running(home: Path, **options: Any) -> Iterator[Server]:
    """A started server that is gone at the end of the block. Options are those of `Server`."""
    server = Server(home, **options)
    try:
        server.start()
        yield server
    finally:
        server.close()
