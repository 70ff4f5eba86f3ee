"""Rejected lines, kept in one file per log so that nothing a user wrote is lost to a reader's mistake."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ralex_core.collection.importers.base import Reject
from ralex_core.errors import ConfigError
from ralex_core.model.operation import derived_id

MAX_RAW_BYTES = 4096
"""What is kept of one line."""
MAX_LINES = 10_000
"""Lines kept of one log: a file given to the wrong importer is all rejects."""


class Quarantine:
    """The rejected lines of the log at `path`, in `directory`. Adding a line again changes nothing."""

    def __init__(self, directory: Path, source: str, path: Path) -> None:
        self.path = directory / f"{source}-{derived_id(str(path))[:12]}.jsonl"
        self._log = str(path)
        self._known: set[str] | None = None

    def add(self, rejects: Iterable[Reject]) -> None:
        """Append what is not there yet: `{"file", "line", "reason", "raw"}` a line.

        Raises:
            ConfigError: the directory cannot be written.
        """
        entries = [self._entry(reject) for reject in rejects]
        if not entries:
            return
        try:
            known = self._load()
            fresh = [entry for entry in dict.fromkeys(entries) if entry not in known][: MAX_LINES - len(known)]
            if fresh:
                with self.path.open("a", encoding="utf-8") as file:
                    file.writelines(entry + "\n" for entry in fresh)
                known.update(fresh)
        except OSError as error:
            raise ConfigError(
                f"Cannot keep rejected lines in {self.path}: {error.strerror or error}. Nothing more was imported."
            ) from error

    def _entry(self, reject: Reject) -> str:
        raw = reject.raw[:MAX_RAW_BYTES].decode("utf-8", "replace")
        return json.dumps({"file": self._log, "line": reject.line, "reason": reject.reason, "raw": raw})

    def _load(self) -> set[str]:
        """What the file holds; a last line cut off by a crash is dropped."""
        if self._known is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)  # lines may quote what was typed
            whole = self.path.read_bytes()
            complete = whole[: whole.rfind(b"\n") + 1]
            if len(complete) < len(whole):
                with self.path.open("r+b") as file:
                    file.truncate(len(complete))
            self._known = set(complete.decode("utf-8", "replace").splitlines())
        return self._known
