"""What an importer is: the protocol, and the records that pass between an importer and the runner."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ralex_core.collection.fingerprints import Fingerprints, of_process
from ralex_core.model.operation import Operation


@dataclass(frozen=True, slots=True)
class Position:
    """Where to read on: everything before it has been turned into operations, or is held in `state`."""

    offset: int = 0
    """Bytes consumed (of the uncompressed text; rows for Parquet)."""
    line: int = 0
    """Lines consumed; the next one is number `line + 1`."""
    head: str = ""
    """Fingerprint of the file's beginning, to notice that another file took its place."""
    tail: str = ""
    """Fingerprint of what stood just before `offset`."""
    state: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the importer carries over, as JSON: open sessions, unfinished responses; of these no text that was
    typed or answered."""

    def as_json(self, version: int = 1) -> str:
        """The position as text; `version` is the importer's `state_version`."""
        return json.dumps(
            {
                "version": version,
                "offset": self.offset,
                "line": self.line,
                "head": self.head,
                "tail": self.tail,
                "state": self.state,
            },
            separators=(",", ":"),
        )

    @staticmethod
    def from_json(text: str, version: int = 1) -> Position:
        """What `as_json` wrote; the beginning when another version of the importer wrote it."""
        saved = json.loads(text)
        return Position(**saved) if saved.pop("version") == version else Position()


class Reject(NamedTuple):
    """A line that cannot become an operation, and why."""

    line: int
    """Counted from 1."""
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a file: what came of it, and where the next one starts.

    When its operations are committed, `position` may be saved: a reader that starts there gives the rest.
    """

    operations: list[Operation]
    rejects: list[Reject]
    lines: int
    """Lines consumed in this stretch."""
    merged: int
    """Lines that gave no operation of their own: context, or a part of another line's operation."""
    position: Position
    restarted: bool = False
    """The file is not the one the position was taken in, so reading started over."""
    last: bool = False
    """The end of the file was reached."""
    bytes_done: int = 0
    """How far into the file on disk this is; of a gzipped one, its compressed bytes."""


class Memory(Protocol):
    """What an importer knows from other files and earlier runs, by key. Kept together with the cursor."""

    @property
    def fingerprints(self) -> Fingerprints:
        """What it keeps of text that is not stored."""
        ...

    def recall(self, key: str) -> str | None: ...

    def remember(self, key: str, value: str) -> None: ...


class NoMemory:
    """A memory that lasts as long as the object."""

    def __init__(self) -> None:
        self.fingerprints = of_process()
        self._known: dict[str, str] = {}

    def recall(self, key: str) -> str | None:
        return self._known.get(key)

    def remember(self, key: str, value: str) -> None:
        self._known[key] = value


@dataclass(frozen=True, slots=True)
class Machine:
    """Where logs are looked for; given, so that tests can offer a machine of their own."""

    home: Path
    environ: Mapping[str, str]
    cwd: Path

    @staticmethod
    def current() -> Machine:
        return Machine(Path.home(), dict(os.environ), Path.cwd())


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the user tells an importer."""

    zone: tzinfo | None = None
    """Zone of times that name none; None is the machine's."""
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    """For tables: field of the operation → name of the column."""
    constants: Mapping[str, str] = field(default_factory=dict[str, str])
    """For tables: field of the operation → the value every row has."""


class Importer(Protocol):
    """Reads the logs of one source. Holds no state of a run: everything to carry over is in positions and memory."""

    @property
    def name(self) -> str:
        """What the source is called on the command line, in ids and in `Operation.source`."""
        ...

    @property
    def title(self) -> str:
        """What people call it."""
        ...

    @property
    def reads(self) -> str:
        """One sentence: what is taken from its logs, and what is not."""
        ...

    @property
    def state_version(self) -> int:
        """Raised when `Position.state` changes its form: logs are then read from their beginning once."""
        ...

    def roots(self, machine: Machine) -> Sequence[Path]:
        """Files and directories where its logs lie when it is used on this machine; they need not exist."""
        ...

    def files_in(self, path: Path) -> Sequence[Path]:
        """The log files that a path stands for: itself, or its logs below a directory, oldest first."""
        ...

    def read(self, path: Path, start: Position, *, final: bool, memory: Memory) -> Iterator[Chunk]:
        """The operations of one file from `start` on; at least one chunk, the last one with `last` set.

        `final` says that nothing more is expected soon: what is still open is given as it stands (and again,
        with a higher revision, when the file grows after all). Without it, an incomplete last line and
        unfinished work wait.

        Raises:
            ConfigError: the file cannot be opened.
        """
        ...
