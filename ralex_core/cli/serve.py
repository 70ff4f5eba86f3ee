"""`ralex-monitor serve`: the monitor itself."""

from __future__ import annotations

from typing import Annotated

import typer

from ralex_core.cli.options import HomeOption


def serve(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of pages, API and OTLP. Default: 8000.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to bind. Default: 127.0.0.1; anything but loopback needs a token.")
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the overview in a browser, where there is one.")
    ] = True,
    demo: Annotated[
        bool, typer.Option("--demo", help="Show demo data: a simulated team, kept apart from yours.")
    ] = False,
    import_found: Annotated[
        bool, typer.Option("--import-found", help="Import the assistants' logs found on this machine.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Run the monitor until Ctrl-C."""
    del home
    from ralex_core.runtime.ending import hold_back

    hold_back()
    from ralex_core.config import load_settings
    from ralex_core.runtime.server import run_server

    run_server(load_settings(port=port, host=host), open_browser=open_browser, demo=demo, import_found=import_found)
