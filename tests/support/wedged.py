"""Runs the server of `wedged_app`, as `ralex-monitor serve --port N` runs the real one."""

from __future__ import annotations

import sys

from ralex_core.runtime.ending import hold_back


def main() -> None:
    hold_back()  # before what starts threads is loaded
    from ralex_core.config import load_settings
    from ralex_core.runtime.server import run_server
    from tests.support.wedged_app import wedged

    port = int(sys.argv[sys.argv.index("--port") + 1])
    run_server(load_settings(port=port), open_browser=False, demo=False, import_found=False, make_app=wedged)


if __name__ == "__main__":
    main()
