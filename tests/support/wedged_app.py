"""The real server with doors to get stuck behind, for tests of its health and its end; `tests.support.wedged` runs it.

`POST /wedge/writer` gives the thread that writes a task that never returns. `/wedge/v1/traces` is the real OTLP door
over an intake that never returns, so that its decoder spins; `/wedge/forever` is an answer that never ends.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from typing import NoReturn

import anyio
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from ralex_core.collection.otlp_http import otlp_router
from ralex_core.collection.redaction import WITHOUT_TEXT
from ralex_core.model.operation import Operation
from ralex_core.runtime.runtime import Runtime
from ralex_core.runtime.server import application
from ralex_core.storage.telemetry import WriteResult


def spin() -> NoReturn:
    """Pure Python that holds the interpreter lock as long as it is let."""
    while True:
        pass


class Spinning:
    """An intake in which whoever submits stays."""

    redaction = WITHOUT_TEXT

    def submit(self, operations: Sequence[Operation], *, redacted: bool = False) -> Future[WriteResult]:
        spin()

    def expecting(self) -> nullcontext[None]:
        return nullcontext()


def wedged(runtime: Runtime) -> FastAPI:
    app = application(runtime)
    app.include_router(otlp_router(Spinning, runtime.settings, runtime.metrics), prefix="/wedge")

    @app.post("/wedge/writer")
    def writer() -> None:
        runtime.writer.run(spin)

    @app.post("/wedge/worker")
    def worker() -> None:
        spin()

    @app.post("/wedge/lock")
    async def lock() -> None:
        held = threading.Lock()
        held.acquire()
        held.acquire()

    @app.post("/wedge/wait")
    def wait() -> None:
        threading.Event().wait()

    @app.get("/wedge/forever")
    def forever() -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            while True:
                yield b"still here\n"
                await anyio.sleep(0.1)

        return StreamingResponse(lines())

    return app
