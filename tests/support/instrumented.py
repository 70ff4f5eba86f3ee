"""An application with everything switched on, in a process of its own: `python -m tests.support.instrumented DATABASE`.

It prints its port when it listens and, at the end of its standard input, what became of its operations; then it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.repository import ROOT


def serve(database: str) -> None:
    import uvicorn
    from fastapi import FastAPI, HTTPException

    from ralex_core.monitoring import flush, instrument, stats

    instrument.all()
    app = FastAPI()

    @app.get("/orders/{order}")
    def read_order(order: int) -> dict[str, Any]:
        with closing(sqlite3.connect(database)) as db:
            row = db.execute("select id, title from orders where id = ?", (order % 50,)).fetchone()
            lines = db.execute("select id from lines where order_id = ?", (order % 50,)).fetchall()
        if order % 10 == 9:
            raise HTTPException(404)
        return {"id": row[0], "title": row[1], "lines": len(lines)}

    @app.get("/async/{order}")
    async def read_nothing(order: int) -> int:
        await asyncio.sleep(0)
        return order

    config = uvicorn.Config(app, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(256)
    print(listening.getsockname()[1], flush=True)

    def until_told() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=until_told, daemon=True).start()
    server.run([listening])
    flush(60)
    print(json.dumps(stats()._asdict()), flush=True)


class Application:
    """The process, while it serves."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process = process
        self.port = port

    def get(self, path: str, headers: dict[str, str] | None = None) -> int:
        """The status of one request on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def end(self) -> dict[str, int]:
        """Let it end; returns what became of its operations."""
        output, _ = self._process.communicate("", timeout=120)
        assert self._process.returncode == 0
        return json.loads(output.strip().splitlines()[-1])


@contextlib.contextmanager
def application(directory: Path, endpoint: str) -> Iterator[Application]:
    """Started, and gone at the end of the block."""
    database = directory / "orders.db"
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("create table orders (id integer primary key, title text)")
        db.execute("create table lines (id integer primary key, order_id integer)")
        db.executemany("insert into orders values (?, ?)", [(n, f"order {n}") for n in range(50)])
        db.executemany("insert into lines (order_id) values (?)", [(n % 50,) for n in range(500)])
    own = {name: value for name, value in os.environ.items() if not name.startswith(("RALEX_MONITOR_", "PYTEST_"))}
    environment = {
        **own,
        "RALEX_MONITOR_ENDPOINT": endpoint,
        "RALEX_MONITOR_HOME": str(directory / "home"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-W", "error", "-m", "tests.support.instrumented", str(database)]
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield Application(process, int(process.stdout.readline()))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()


if __name__ == "__main__":
    serve(sys.argv[1])
