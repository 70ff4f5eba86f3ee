"""`trash/` in the data directory: what retention or a damaged file made us remove, kept for a week.

One removal is one directory with an `about.json`. It is written under a name that begins with a dot, flushed to disk
and renamed, and only then may what it holds be deleted from its old place.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ralex_core.errors import StoreFull
from ralex_core.model.window import DAY_US

KEPT_US = 7 * DAY_US
ABOUT = "about.json"


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing that was removed."""

    path: Path
    kind: str
    """`retention`, `damaged-log` or `torn-log`."""
    note: str
    """What was removed and why, in a sentence or two."""
    bytes: int
    removed_at: str
    """What the clock said, ISO-8601."""
    details: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.name


class Trash:
    """The trash of the store in `home`. Nothing is created before something is put into it."""

    def __init__(self, home: Path) -> None:
        self.directory = home / "trash"

    def put(
        self,
        kind: str,
        note: str,
        fill: Callable[[Path], None],
        *,
        now_us: int,
        details: dict[str, Any] | None = None,
        at_most: int | None = None,
    ) -> Path:
        """Keep something: `fill` writes its files into the directory it is given. Returns that directory.

        `at_most` bounds how many removals of this kind are kept; the oldest go first.

        Raises:
            StoreFull: it could not be written; then nothing may be removed.
        """
        moment = datetime.fromtimestamp(now_us / 1e6, UTC)
        target = self._free_name(f"{moment:%Y%m%dT%H%M%SZ}-{kind}")
        partial = self.directory / f".{target.name}"
        about = {"kind": kind, "note": note, "removed_at": moment.isoformat(), "details": details or {}}
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(mode=0o700)
            fill(partial)
            (partial / ABOUT).write_text(json.dumps(about, indent=2))
            for file in partial.iterdir():
                file.chmod(0o600)
                _flush(file)
            _flush(partial)
            partial.rename(target)
            _flush(self.directory)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise StoreFull(
                f"Nothing was removed, because {target} could not be written: {error.strerror or error}. "
                "Free some room on that disk."
            ) from error
        if at_most is not None:
            for old in [one for one in self.removals() if one.kind == kind][:-at_most]:
                shutil.rmtree(old.path, ignore_errors=True)
        return target

    def _free_name(self, name: str) -> Path:
        target, number = self.directory / name, 1
        while target.exists():
            number += 1
            target = self.directory / f"{name}-{number}"
        return target

    def removals(self) -> list[Removal]:
        """What is kept, oldest first. Directories that are not ours are left out."""
        found: list[Removal] = []
        with suppress(OSError):
            for path in sorted(self.directory.iterdir()):
                about = _about(path)
                if about is not None and not path.name.startswith("."):
                    size = sum(file.stat().st_size for file in path.iterdir())
                    found.append(
                        Removal(
                            path,
                            str(about.get("kind", "")),
                            str(about.get("note", "")),
                            size,
                            str(about.get("removed_at", "")),
                            about.get("details") or {},
                        )
                    )
        return found

    def purge(self, believed_us: int) -> int:
        """Delete what has been here for a week by `believed_us` (see `clock_readings`); returns how many removals.

        The week begins when this first sees a removal, so that it is measured by one and the same cautious clock.
        """
        gone = 0
        for removal in self.removals():
            about = _about(removal.path)
            if about is None:
                continue
            since = about.get("week_began_us")
            if not isinstance(since, int):
                file = removal.path / ABOUT
                file.write_text(json.dumps(about | {"week_began_us": believed_us}, indent=2))
                file.chmod(0o600)
            elif believed_us - since >= KEPT_US:
                shutil.rmtree(removal.path, ignore_errors=True)
                gone += 1
        return gone


def _about(path: Path) -> dict[str, Any] | None:
    try:
        about = json.loads((path / ABOUT).read_text())
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) else None  # pyright: ignore[reportUnknownVariableType]


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
