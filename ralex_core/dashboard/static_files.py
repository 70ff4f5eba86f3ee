"""Serves `static/` under one address per content: `/static/<hash of everything>/css/base.css`, cached for ever.

The hash is part of the path, so relative imports between modules and `url()` in style sheets stay inside it. Files
are read and compressed once; a changed file changes the hash, so an edit shows on the next load.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from ralex_core.clock import Clock, SystemClock
from ralex_core.dashboard.problems import not_found

STATIC = Path(__file__).parent / "static"
FOR_EVER = "public, max-age=31536000, immutable"
CONTENT_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}
BUNDLES = {"css/app.css": ("css/tokens.css", "css/base.css", "css/shell.css", "css/panels.css")}
"""Files that are served as one: every page needs all of them before it can be painted."""
CHECKED_S = 1.0
"""How long the files are believed unchanged: a page asks for two dozen addresses, a look at all files is not free."""
_HASHED = re.compile(r"^[0-9a-f]{12}/")


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    compressed: bytes | None
    content_type: str
    etag: str


class StaticFiles:
    """The files under `root`, by their path below it. Files of other kinds than `CONTENT_TYPES` are not served."""

    def __init__(self, root: Path = STATIC, clock: Clock | None = None) -> None:
        self._root = root
        self._clock = clock or SystemClock()
        self._signature: tuple[tuple[str, int, int], ...] = ()
        self._version = ""
        self._checked_at = -math.inf
        self._files: dict[str, _File] = {}
        self._names: set[str] = set()

    def url(self, path: str) -> str:
        """The address of a file, with the hash of the moment."""
        return f"/static/{self.version()}/{path}"

    def version(self) -> str:
        """Twelve hex digits that change, within a second, when any file does."""
        now = self._clock.monotonic()
        if now - self._checked_at < CHECKED_S:
            return self._version
        found = sorted(
            (entry.path, entry.stat().st_mtime_ns, entry.stat().st_size)
            for entry in _walk(self._root)
            if entry.is_file()
        )
        signature = tuple(found)
        if signature != self._signature:
            digest = hashlib.sha256()
            for path, _, _ in signature:
                digest.update(path.removeprefix(str(self._root)).encode() + b"\0" + Path(path).read_bytes())
            self._names = {Path(path).relative_to(self._root).as_posix() for path, _, _ in signature}
            self._signature, self._version, self._files = signature, digest.hexdigest()[:12], {}
        self._checked_at = now
        return self._version

    def answer(self, request: Request, path: str) -> Response:
        """The response for a path below `/static/`, hashed or not.

        Raises:
            RequestProblem: 404, there is no such file.
        """
        hashed = _HASHED.match(path) is not None
        name = path[13:] if hashed else path
        if not hashed or name not in self._files:
            self.version()  # notices changes
        file = self._files.get(name) or self._load(name)
        # another version's address still gets the file, but may not be kept: a page of before an upgrade asks for it
        current = hashed and path[:12] == self._version
        headers = {
            "ETag": file.etag,
            "Cache-Control": FOR_EVER if current else "no-cache",
            "Vary": "Accept-Encoding",
        }
        if file.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if file.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(file.compressed, headers=headers, media_type=file.content_type)
        return Response(file.content, headers=headers, media_type=file.content_type)

    def _load(self, name: str) -> _File:
        files = self._files  # a change seen meanwhile makes a new one, which this content may not get into
        content = b"\n".join(self._read(part) for part in BUNDLES.get(name, (name,)))
        suffix = Path(name).suffix
        compressed = (
            gzip.compress(content, 9, mtime=0) if len(content) >= 512 and suffix not in (".png", ".woff2") else None
        )
        etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
        file = files[name] = _File(content, compressed, CONTENT_TYPES[suffix], etag)
        return file

    def _read(self, name: str) -> bytes:
        # only names as they are on the disk: others would be kept beside them, without end
        if name not in self._names or Path(name).suffix not in CONTENT_TYPES:
            raise not_found(f"There is no file {name[:80]!r} here.")
        return (self._root / name).read_bytes()


def _walk(root: Path) -> list[os.DirEntry[str]]:
    entries: list[os.DirEntry[str]] = []
    with os.scandir(root) as found:
        for entry in found:
            if entry.is_dir():
                entries += _walk(Path(entry.path))
            elif not entry.name.startswith("."):
                entries.append(entry)
    return entries
