"""Rejected lines, one file per log: where they are in it and why they were not taken, so that they can be found again.

A line may hold what was typed. It is kept itself only with the setting that keeps text, without credentials; otherwise
its fingerprint says whether the line in the log is still the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from ralex_core.collection.credentials import redact_text
from ralex_core.collection.importers.base import Reject
from ralex_core.collection.redaction import Redaction
from ralex_core.errors import ConfigError
from ralex_core.model.operation import derived_id
from ralex_core.private_files import open_private, private_directory

MAX_RAW_BYTES = 4096
"""What is kept of one line."""
MAX_LINES = 10_000
"""Lines kept of one log: a file given to the wrong importer is all rejects."""


_QUOTED = re.compile(r"'[^']*'?|\"[^\"]*\"?")
"""What a reason quotes of a line."""


class Quarantine:
    """The rejected lines of the log at `path`, in `directory`. Adding a line again changes nothing."""

    def __init__(self, directory: Path, source: str, path: Path, redaction: Redaction) -> None:
        self._redaction = redaction
        self.path = directory / f"{source}-{derived_id(str(path))[:12]}.jsonl"
        self._log = str(path)
        self._known: set[str] | None = None

    def add(self, rejects: Iterable[Reject]) -> None:
        """Append what is not there yet: `{"file", "line", "reason", "fingerprint"}` a line; and `"raw"` with text.

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
        fingerprint = self._redaction.fingerprints.of_bytes(reject.raw)
        reason = redact_text(_QUOTED.sub("…", reject.reason))
        entry = {"file": self._log, "line": reject.line, "reason": reason, "fingerprint": fingerprint}
        if self._redaction.keep_text:
            raw = reject.raw[:MAX_RAW_BYTES].decode("utf-8", "replace")
            entry |= {"reason": redact_text(reject.reason), "raw": redact_text(raw)}
        return json.dumps(entry)

    def _load(self) -> set[str]:
        """What the file holds; a last line cut off by a crash is dropped."""
        if self._known is None:
            private_directory(self.path.parent)  # lines may quote what was typed
            open_private(self.path, "ab").close()
            whole = self.path.read_bytes()
            complete = whole[: whole.rfind(b"\n") + 1]
            if len(complete) < len(whole):
                with self.path.open("r+b") as file:
                    file.truncate(len(complete))
            self._known = set(complete.decode("utf-8", "replace").splitlines())
        return self._known
