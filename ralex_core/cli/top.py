"""`ralex-monitor top`: a running server, live in the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ralex_core.cli.options import HomeOption
from ralex_core.cli.output import print_json
from ralex_core.errors import ServerUnreachable

if TYPE_CHECKING:
    from rich.console import Console

    from ralex_core.cli.top_feed import TopFeed
    from ralex_core.config import Settings

FIRST_WITHIN_S = 30.0
"""A server that was just started reads the last minutes from its store before it tells the first time."""


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one frame and exit, as when piped.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print what it would show as one JSON object, for scripts.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="Watch the server at this address instead of the data directory's.")
    ] = None,
    interval: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between two frames.")] = 1.0,
    home: HomeOption = None,
) -> None:
    """Watch a running server: spend, speed, errors, slow operations, models, this machine, live.

    Keys: q quits, Space pauses, p, c, d and e sort by p95, calls, dollars and errors.
    """
    del home
    from ralex_core.cli.top_feed import TopFeed
    from ralex_core.config import load_settings

    settings = load_settings()
    with TopFeed(_address(url, settings), settings.token) as feed:
        feed.wait_for_first(FIRST_WITHIN_S)
        if json:
            print_json(feed.document())
            return
        _watch(feed, once=once, interval_s=interval)


def _address(url: str | None, settings: Settings) -> str:
    from ralex_core.cli.remote import running_server

    if url is not None:
        return url
    server = running_server(settings)
    if server is None:
        raise ServerUnreachable(f"No monitor runs on {settings.home}. Start one: ralex-monitor serve")
    server.close()
    return server.url


def _watch(feed: TopFeed, *, once: bool, interval_s: float) -> None:
    from rich.console import Console

    from ralex_core.cli.top_screen import SORTS, frame

    console = Console(highlight=False, markup=False, emoji=False)
    if once or not console.is_terminal or not sys.stdin.isatty():
        console.print(frame(feed.shown(), width=console.width, height=None, sort=next(iter(SORTS.values()))))
        return
    _live(feed, console, interval_s)


def _live(feed: TopFeed, console: Console, interval_s: float) -> None:
    from rich.live import Live

    from ralex_core.cli.top_keys import Keys
    from ralex_core.cli.top_screen import SORTS, frame

    sort, paused = next(iter(SORTS.values())), False
    shown = feed.shown()
    with Keys() as keys, Live(console=console, screen=True, auto_refresh=False, redirect_stderr=False) as live:
        while True:
            if not paused:
                shown = feed.shown()
            size = console.size
            live.update(frame(shown, width=size.width, height=size.height, sort=sort, paused=paused), refresh=True)
            key = keys.next(interval_s)
            if key in ("q", "Q", "\x03", "\x04"):
                return
            if key == " ":
                paused = not paused
            elif key in SORTS:
                sort = SORTS[key]
