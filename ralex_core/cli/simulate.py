"""`ralex-monitor simulate`: a team's operations as lines, or into a running server."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from ralex_core.cli.options import HomeOption
from ralex_core.cli.output import error_console

if TYPE_CHECKING:
    from ralex_core.cli.remote import RunningServer


def simulate(
    days: Annotated[float, typer.Option(min=0, max=3660, help="Days of the past to give, up to now.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Which team: the same seed is the same team for ever.")] = 7,
    live: Annotated[bool, typer.Option("--live", help="Go on in real time until Ctrl-C.")] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Operations a second for the past. Default: as fast as taken.")
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="Send to the running server, among your own data, instead of printing.")
    ] = False,
    url: Annotated[str | None, typer.Option(help="Send to the server at this address; implies --send.")] = None,
    home: HomeOption = None,
) -> None:
    """Print or send the operations of a simulated team.

    As JSON lines on standard output, or into a server for a load test.
    To look around with demo data, kept apart from yours and removed in one click, use: ralex-monitor serve --demo
    """
    del home
    from itertools import chain
    from time import sleep

    from ralex_core.cli.wire import as_line
    from ralex_core.clock import SystemClock
    from ralex_core.simulate import Team
    from ralex_core.simulate.feed import past, present

    clock, team = SystemClock(), Team(seed)
    now_us = clock.now_us()
    server = _server(url) if send or url else None
    deliver: Callable[[bytes], object] = _print if server is None else server.send_patiently
    stream = chain(past(team, now_us, days, rate, clock, sleep), present(team, now_us, clock, sleep) if live else ())
    given = 0
    interrupted = _note_interrupts()
    try:
        with error_console().status("") as progress:
            for batch in stream:
                deliver(b"".join(map(as_line, batch)))
                given += len(batch)
                progress.update(f"{given:,} operations")
                if interrupted.is_set():
                    break
    except KeyboardInterrupt:
        pass  # how a live run is meant to end
    if server is not None:
        server.close()
        error_console().print(f"{given:,} operations sent to {server.url}")


def _note_interrupts() -> Event:
    """Set at Ctrl-C, which Python also raises: but in a destructor or a callback nobody would hear of that."""
    interrupted = Event()

    def interrupt(number: int, frame: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    return interrupted


def _server(url: str | None) -> RunningServer:
    from ralex_core.cli.remote import RunningServer, running_server
    from ralex_core.config import load_settings
    from ralex_core.errors import ServerUnreachable

    settings = load_settings()
    server = RunningServer(url, settings.token) if url else running_server(settings)
    if server is None:
        raise ServerUnreachable(f"No server runs on {settings.home}. Start one with: ralex-monitor serve")
    return server


def _print(lines: bytes) -> None:
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()
