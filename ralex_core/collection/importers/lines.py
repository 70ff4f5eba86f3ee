"""Reading logs that are text lines: growing, replaced, truncated or gzipped ones, from where an earlier run stopped."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from ralex_core.collection.importers.base import Chunk, Machine, Memory, Position, Reject
from ralex_core.errors import ConfigError, InvalidOperation
from ralex_core.model.operation import Operation

LINES_PER_CHUNK = 2000
BYTES_PER_CHUNK = 8 << 20
MAX_LINE_BYTES = 64 << 20
"""A transcript line with pasted images has a few MiB; what is longer is not read into memory."""
HEAD_BYTES = 1024
TAIL_BYTES = 256
GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"


class LineParser(ABC):
    """Turns the lines of one file, in order, into operations. Restored from `save()`, it goes on unchanged."""

    @abstractmethod
    def feed(self, raw: bytes) -> bool:
        """Take one line (without its end); returns whether it stands for an operation of its own.

        Raises:
            InvalidOperation: the line is rejected, and the parser is as it was before it.
        """

    @abstractmethod
    def drain(self) -> list[Operation]:
        """The operations finished since the last call."""

    @abstractmethod
    def finish(self) -> list[Operation]:
        """What is still open, as it stands; called on a copy that is thrown away afterwards.

        Raises:
            InvalidOperation: the file ends in the middle of something that has to be complete.
        """

    @abstractmethod
    def save(self) -> dict[str, Any]:
        """What `LineImporter.parser` needs to go on from here, as JSON values."""


class LineImporter(ABC):
    """An importer of text lines: finds out where to go on, cuts the file into chunks and rejects bad lines."""

    name: str
    title: str
    reads: str
    state_version: int = 1
    suffixes: tuple[str, ...] = (".jsonl", ".jsonl.gz")

    @abstractmethod
    def roots(self, machine: Machine) -> Sequence[Path]:
        """See `Importer.roots`."""

    @abstractmethod
    def parser(self, path: Path, state: Mapping[str, Any], memory: Memory) -> LineParser:
        """A parser that goes on from `state` (empty: the beginning of the file)."""

    def files_in(self, path: Path) -> Sequence[Path]:
        """The file itself, or the logs below a directory, oldest first: a copy comes after what it was copied from."""
        if not path.is_dir():
            return [path]
        found = (file for file in path.rglob("*") if file.name.endswith(self.suffixes) and file.is_file())
        return [file for _, file in sorted((_modified(file), file) for file in found)]

    def read(self, path: Path, start: Position, *, final: bool, memory: Memory) -> Iterator[Chunk]:
        """See `Importer.read`."""
        with _open(path) as stream:
            restarted = start.offset > 0 and not _goes_on(stream, start)
            if restarted or start.offset == 0:
                start = Position()
                stream.seek(0)
            yield from self._chunks(path, stream, start, restarted, final, memory)

    def _chunks(
        self, path: Path, stream: IO[bytes], start: Position, restarted: bool, final: bool, memory: Memory
    ) -> Iterator[Chunk]:
        parser = self.parser(path, start.state, memory)
        reader = _Lines(stream, start)
        while True:
            rejects: list[Reject] = []
            lines = merged = 0
            limit = reader.offset + BYTES_PER_CHUNK
            while lines < LINES_PER_CHUNK and reader.offset < limit:
                raw = reader.next()
                if raw is None:
                    break
                lines += 1
                merged += not _feed(parser, reader.line, raw, rejects)
            ended = reader.ended
            operations = parser.drain()
            position = reader.position(parser.save())
            if ended and reader.damage is not None:
                rejects.append(Reject(reader.line + 1, reader.damage, b""))
            if ended and final:
                operations += self._as_it_stands(path, parser, reader, rejects, memory)
            yield Chunk(operations, rejects, lines, merged, position, restarted, ended, reader.bytes_done())
            restarted = False
            if ended:
                return

    def _as_it_stands(
        self, path: Path, parser: LineParser, reader: _Lines, rejects: list[Reject], memory: Memory
    ) -> list[Operation]:
        """What a copy of the parser makes of an incomplete last line and of unfinished work."""
        copy = self.parser(path, parser.save(), memory)
        if reader.incomplete.strip():
            problems: list[Reject] = []
            _feed(copy, reader.line + 1, reader.incomplete, problems)
            rejects += [
                Reject(line, f"the last line has no end and is {reason}", raw) for line, reason, raw in problems
            ]
        operations = copy.drain()
        try:
            operations += copy.finish()
        except InvalidOperation as error:
            rejects.append(Reject(reader.line, str(error), b""))
        return operations


def _feed(parser: LineParser, number: int, raw: bytes, rejects: list[Reject]) -> bool:
    """Give the parser a line; returns False when it has no operation of its own (a rejected line is not counted so)."""
    if not raw or raw.isspace():
        return False
    try:
        return parser.feed(raw)
    except InvalidOperation as error:
        rejects.append(Reject(number, str(error), raw))
        return True


class _Lines:
    """The complete lines of a stream, from a position on, with what is needed to save the position again."""

    def __init__(self, stream: IO[bytes], start: Position) -> None:
        self._stream = stream
        self.offset = start.offset
        self.line = start.line
        self._head = start.head
        self._tail = start.tail
        self._last = b""
        self.incomplete = b""
        """What follows the last line end, when the end of the file was reached."""
        self.ended = False
        self.damage: str | None = None

    def next(self) -> bytes | None:
        """The next complete line without its end; None at the end of the file."""
        try:
            raw = self._stream.readline(MAX_LINE_BYTES)
            length, end = self._skip(raw) if len(raw) == MAX_LINE_BYTES and raw[-1:] != b"\n" else (len(raw), raw)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self.damage = "the compressed file is damaged or incomplete from here on"
            raw = end = b""
            length = 0
        if end[-1:] != b"\n":
            self.incomplete = raw
            self.ended = True
            return None
        self.offset += length
        self.line += 1
        self._last = end
        whole = raw if end is raw else raw[:HEAD_BYTES]
        if self.line == 1:
            self._head = _fingerprint(raw[:HEAD_BYTES])
            whole = whole.removeprefix(BOM)
        return whole.rstrip(b"\r\n")

    def _skip(self, start: bytes) -> tuple[int, bytes]:
        """Pass over the rest of an endless line: its length and its end. What is kept of it will not parse."""
        length = len(start)
        while True:
            part = self._stream.readline(1 << 20)
            length += len(part)
            if not part or part[-1:] == b"\n":
                return length, part

    def bytes_done(self) -> int:
        """Bytes read of the file on disk."""
        zipped = getattr(self._stream, "fileobj", None)
        return self.offset if zipped is None else zipped.tell()

    def position(self, state: Mapping[str, Any]) -> Position:
        if self._last:
            self._tail = _fingerprint(self._last[-TAIL_BYTES:])
        return Position(self.offset, self.line, self._head, self._tail, state)


def _open(path: Path) -> IO[bytes]:
    """The file's text, decompressed when it is gzipped, whatever it is called."""
    try:
        with path.open("rb") as stream:
            zipped = stream.read(2) == GZIP_MAGIC
        return cast(IO[bytes], gzip.open(path)) if zipped else path.open("rb")
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror or error}.") from error


def _goes_on(stream: IO[bytes], start: Position) -> bool:
    """Whether the file is still the one the position was taken in; leaves the stream at the position when it is."""
    try:
        if not _is(stream, start.head):
            return False
        length = int(start.tail.partition(":")[0])
        stream.seek(start.offset - length)
        return _is(stream, start.tail)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False


def _is(stream: IO[bytes], fingerprint: str) -> bool:
    length = int(fingerprint.partition(":")[0])
    return _fingerprint(stream.read(length)) == fingerprint


def _fingerprint(data: bytes) -> str:
    return f"{len(data)}:{hashlib.blake2b(data, digest_size=8).hexdigest()}"


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
