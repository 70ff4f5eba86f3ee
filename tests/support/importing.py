"""Reading logs in tests: whole, or cut anywhere and read on as a follower would."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ralex_core.collection.importers.base import Importer, Machine, NoMemory, Position, Reject
from ralex_core.collection.importers.runner import ImportReport, Resume, run_import
from ralex_core.model.operation import Operation
from ralex_core.storage.state import StateStore
from tests.support.intake import MemoryIntake


class Bench:
    """Everything an import needs, below one directory: a machine, a state store and a way into memory."""

    def __init__(self, directory: Path) -> None:
        self.machine = Machine(directory / "home", {}, directory / "work")
        for place in (self.machine.home, self.machine.cwd):
            place.mkdir(exist_ok=True)
        self.intake = MemoryIntake()
        self.state = StateStore(directory / "state.sqlite")
        self.quarantine = directory / "quarantine"

    def run(self, importer: Importer, *paths: Path, resume: Resume = "auto") -> ImportReport:
        return run_import(
            importer,
            paths,
            intake=self.intake,
            state=self.state,
            quarantine_dir=self.quarantine,
            machine=self.machine,
            resume=resume,
        )

    def quarantined(self) -> list[dict[str, Any]]:
        """The entries of all quarantine files."""
        files = sorted(self.quarantine.glob("*.jsonl")) if self.quarantine.exists() else []
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def write_lines(path: Path, records: Sequence[Mapping[str, Any] | str], *, end: str = "\n") -> Path:
    """Write records as JSON lines (strings as they are); gzipped when the name says so."""
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    data = ("\n".join(lines) + end).encode() if lines else b""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def read_all(importer: Importer, path: Path) -> tuple[list[Operation], list[Reject]]:
    """Everything of one file, in one go."""
    operations: list[Operation] = []
    rejects: list[Reject] = []
    for chunk in importer.read(path, Position(), final=True, memory=NoMemory()):
        operations += chunk.operations
        rejects += chunk.rejects
    return operations, rejects


def read_growing(
    importer: Importer, path: Path, data: bytes, cuts: Sequence[int], *, rests: bool = True
) -> MemoryIntake:
    """Write `data` piece by piece, reading on after each with the position as it would be saved.

    `rests` lets the log come to rest after every piece, not only at its end.
    """
    intake = MemoryIntake()
    memory = NoMemory()
    position = Position()
    ends = [*sorted(cuts), len(data)]
    for number, end in enumerate(ends, 1):
        path.write_bytes(data[:end])
        for final in (False, True) if rests or number == len(ends) else (False,):
            for chunk in importer.read(path, position, final=final, memory=memory):
                assert not chunk.restarted
                intake.submit(chunk.operations)
                position = Position.from_json(chunk.position.as_json())
    return intake
