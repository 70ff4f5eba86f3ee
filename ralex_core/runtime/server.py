"""`ralex-monitor serve`: bind, announce, run until told to stop, take down."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from functools import partial
from types import FrameType

import fastapi.dependencies.models
import uvicorn
from fastapi import FastAPI

from ralex_core.config import Settings
from ralex_core.dashboard.app import create_app
from ralex_core.errors import ConfigError
from ralex_core.private_files import private_directory
from ralex_core.runtime.backup_route import backup_router
from ralex_core.runtime.ending import Ending, let_through
from ralex_core.runtime.http_edge import EdgeProtocol
from ralex_core.runtime.runtime import Runtime
from ralex_core.runtime.server_file import remove_server_file, server_url, write_server_file
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.backup import remove_leftovers

logger = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
BACKLOG = 2048
SWITCH_INTERVAL_S = 0.001
"""How long a thread may hold the interpreter lock while another waits for it. A commit gives the lock back and wants it
again several times; at Python's own 5 ms it waited for the decoders longer than it worked."""
SHUTDOWN_S = 3
"""Requests that are still running get this long to finish; closing the stores needs the rest of what `Ending` gives."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, made before anything else so that a taken port costs nothing.

    Raises:
        ConfigError: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"Port {port} on {host} is taken by another program. "
                f"Choose another: ralex-monitor serve --port {port + 1}"
            ) from error
        raise ConfigError(f"Cannot listen on {host} port {port}: {error.strerror}. Choose another --host.") from error
    bound.setblocking(False)
    return bound


def run_server(
    settings: Settings,
    *,
    open_browser: bool,
    demo: bool,
    import_found: bool,
    make_app: Callable[[Runtime], FastAPI] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. `make_app`: what is served, by default `application`.

    Raises:
        ConfigError: the port is taken, the data directory cannot be used, or a token is missing off loopback.
        StoreError: a store cannot be opened.
    """
    if settings.host not in LOOPBACK and settings.token is None:
        raise ConfigError(
            f"Listening on {settings.host} lets others in, so a token is required: set RALEX_MONITOR_TOKEN "
            "to at least 16 characters, or bind 127.0.0.1."
        )
    metrics = SelfMetrics()
    ending = Ending(metrics.vitals, lambda: remove_server_file(settings.home))
    ending.listen()
    _prepare_home(settings)
    bound = bind(settings.host, settings.port)
    with contextlib.ExitStack() as undo:
        undo.callback(bound.close)
        remove_leftovers(settings.home)
        runtime = Runtime(settings, metrics=metrics)
        undo.callback(runtime.close)
        undo.callback(remove_server_file, settings.home)
        _announce(settings)
        url = server_url(settings.host, settings.port)
        if demo:
            runtime.demo_start()
        if import_found:
            runtime.import_found()
        config = uvicorn.Config(
            (make_app or application)(runtime),
            http=partial(EdgeProtocol, metrics=runtime.metrics),  # type: ignore[arg-type] - called as the class is
            log_level="warning",
            access_log=False,
            ws_per_message_deflate=False,
            ws_max_size=65536,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
            lifespan="on",
        )
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        _settle_memory()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        undo.callback(_forget_routes)
        undo.callback(gc.unfreeze)  # else what is in a cycle is never freed, and DuckDB reports it as leaked at the end
        print(f"Ralex Monitor: {url}   data: {settings.home}   stop: Ctrl-C", flush=True)  # noqa: T201
        if open_browser and _has_display():
            threading.Timer(0.5, _open_browser, [url]).start()
        _Server(config, ending).run(sockets=[bound])


class _Server(uvicorn.Server):
    """Uvicorn, which would otherwise raise the signal again when it is done: `Ending` would take it for a second."""

    def __init__(self, config: uvicorn.Config, ending: Ending) -> None:
        super().__init__(config)
        self._ending = ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._ending.heard(sig)
        self._ending.leaving = True
        self.should_exit = True


def application(runtime: Runtime) -> FastAPI:
    """Everything the server answers."""
    app = create_app(runtime)
    app.include_router(backup_router(runtime))
    return app


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of the HTTP server's log tells anything: the gateway cuts an answer that its upstream cut."""
    return record.msg != "ASGI callable returned without completing response."


def _announce(settings: Settings) -> None:
    """A full disk must not keep the pages from being read; nothing but the address in a file is missing then."""
    try:
        write_server_file(settings.home, settings.host, settings.port)
    except ConfigError as error:
        logger.warning("Other commands do not find this server: %s", error)


def _open_browser(url: str) -> None:
    """In a short thread of its own, since the browser inherits which signals reach it."""
    let_through()
    webbrowser.open(url)


def _prepare_home(settings: Settings) -> None:
    try:
        private_directory(settings.home)
        probe = settings.home / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"The data directory {settings.home} cannot be written ({error.strerror}). "
            "Set RALEX_MONITOR_HOME to a directory that can."
        ) from error


def _settle_memory() -> None:
    """What was loaded to start stays: keep the collector from walking it, and give back what was only used to load.

    Ingestion makes many short-lived tuples and no cycles, so the youngest generation may be large.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with contextlib.suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def _forget_routes() -> None:
    """FastAPI remembers of every route's function what kind it is, in caches of its module, and with the function all
    that it uses: the stores would outlive the interpreter, and DuckDB print what it calls leaked."""
    for remembered in vars(fastapi.dependencies.models).values():
        clear = getattr(remembered, "cache_clear", None)
        if clear is not None:
            clear()


def _has_display() -> bool:
    """Whether a browser could open at all; on a server the attempt would only print noise."""
    return os.name == "nt" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
