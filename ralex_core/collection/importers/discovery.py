"""Which assistants' logs lie on this machine, and how much of them has not been read yet. Reads directories only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ralex_core.collection.importers.base import Importer, Machine
from ralex_core.storage.state import Cursor, StateStore


@dataclass(frozen=True, slots=True)
class Found:
    """The logs of one assistant."""

    source: str
    title: str
    paths: tuple[Path, ...]
    """The files and directories to import."""
    files: int
    total_bytes: int
    new_bytes: int
    """Bytes of files, or of what was added to them, that no import has read."""
    oldest_us: int | None
    """When the file that was left alone longest changed last, UTC microseconds."""
    newest_us: int | None
    reads: str
    """One sentence: what is taken from these files, and what is not."""


def discover(importers: Sequence[Importer], machine: Machine, state: StateStore | None = None) -> list[Found]:
    """One entry per source that has logs here, in the order of the importers. With `state`, what was read is known."""
    found = (_found(importer, machine, state) for importer in importers)
    return [logs for logs in found if logs is not None]


def looked_in(importers: Sequence[Importer], machine: Machine) -> list[str]:
    """Where `discover` looks, for people: the home directory is `~`."""
    roots = (root for importer in importers for root in importer.roots(machine))
    return list(dict.fromkeys(_short(root, machine) for root in roots))


def _found(importer: Importer, machine: Machine, state: StateStore | None) -> Found | None:
    roots = tuple(dict.fromkeys(root for root in importer.roots(machine) if root.exists()))
    cursors = {} if state is None else {cursor.path: cursor for cursor in state.cursors(importer.name)}
    files = total = new = 0
    times: list[int] = []
    for file in dict.fromkeys(file for root in roots for file in importer.files_in(root)):
        try:
            status = file.stat()
        except OSError:
            continue
        files += 1
        total += status.st_size
        new += _unread(status.st_size, cursors.get(str(file.resolve())))
        times.append(status.st_mtime_ns // 1000)
    if not files:
        return None
    return Found(importer.name, importer.title, roots, files, total, new, min(times), max(times), importer.reads)


def _unread(size: int, cursor: Cursor | None) -> int:
    if cursor is None:
        return size
    if cursor.complete and cursor.size == size:
        return 0
    return size - cursor.size if size > cursor.size else size


def _short(path: Path, machine: Machine) -> str:
    try:
        return f"~/{path.relative_to(machine.home)}"
    except ValueError:
        return str(path)
