"""The time zone people read times in."""

from __future__ import annotations

import os
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from ralex_core.config import Settings

LOCALTIME = Path("/etc/localtime")


def zone_of(settings: Settings, *, localtime: Path = LOCALTIME) -> tuple[tzinfo, str]:
    """The zone and its name: the setting's, else the machine's, else today's offset from UTC.

    A name is worth some effort: with one, the browser and the server agree on every day of the year, summer or winter.
    """
    for name in (settings.timezone, os.environ.get("TZ"), _linked(localtime)):
        if name:
            try:
                return ZoneInfo(name.lstrip(":")), name.lstrip(":")
            except (KeyError, ValueError, OSError):
                continue
    now = datetime.now(UTC).astimezone()
    return now.tzinfo or UTC, f"UTC{now.isoformat()[-6:]}"


def _linked(file: Path) -> str | None:
    """The IANA name that a link into a zoneinfo directory stands for."""
    if not file.is_symlink():
        return None
    _, found, name = str(file.resolve()).partition("zoneinfo/")
    return name if found else None
