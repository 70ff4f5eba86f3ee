"""Tables of anybody's making: CSV, JSON lines and Parquet, with columns mapped to fields (see `table`)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from ralex_core.collection.importers import fields
from ralex_core.collection.importers.base import Chunk, ImportOptions, Machine, Memory, Position, Reject
from ralex_core.collection.importers.lines import LINES_PER_CHUNK, LineImporter, LineParser
from ralex_core.collection.importers.table import NAME, Mapper
from ralex_core.errors import ConfigError, InvalidOperation
from ralex_core.model.operation import Operation

DELIMITERS = ",;\t|"
MAX_ROW_LINES = 50
"""Lines a quoted value may run over; beyond it the quote was a mistake."""
PARQUET_MEMORY = "512MB"


class TabularImporter(LineImporter):
    """See the module. Reads what it is given; there is no place where such tables lie by themselves."""

    name = NAME
    title = "CSV, JSON lines or Parquet"
    reads = "The mapped columns of every row, and other columns that hold numbers or short texts."
    suffixes = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".parquet")

    def __init__(self, options: ImportOptions) -> None:
        self._options = options
        self._mapper({})  # names a mistaken mapping before any file is opened

    def _mapper(self, state: Mapping[str, Any]) -> Mapper:
        options = self._options
        return Mapper(options.columns, options.constants, options.zone, state.get("seen"))

    def roots(self, machine: Machine) -> Sequence[Path]:
        return []

    def parser(self, path: Path, state: Mapping[str, Any], memory: Memory) -> LineParser:
        names = [suffix.lower() for suffix in path.suffixes]
        if ".csv" in names or ".tsv" in names:
            return _CsvRows(self._mapper(state), state)
        return _JsonRows(self._mapper(state))

    def read(self, path: Path, start: Position, *, final: bool, memory: Memory) -> Iterator[Chunk]:
        if path.suffix.lower() == ".parquet":
            return self._read_parquet(path, start)
        return super().read(path, start, final=final, memory=memory)

    def _read_parquet(self, path: Path, start: Position) -> Iterator[Chunk]:
        try:
            status = path.stat()
        except OSError as error:
            raise ConfigError(f"Cannot read {path}: {error.strerror}.") from error
        version = f"{status.st_size}:{status.st_mtime_ns}"
        restarted = start.offset > 0 and start.head != version
        if restarted:
            start = Position()
        mapper = self._mapper(start.state)
        done = start.offset
        with duckdb.connect(config={"memory_limit": PARQUET_MEMORY, "threads": 1}) as connection:
            names, rows = _parquet_rows(connection, path, done)
            mapper.layout(names)
            total = _parquet_total(connection, path)
            while True:
                try:
                    batch = rows.fetchmany(LINES_PER_CHUNK)
                except duckdb.Error as error:
                    raise _unreadable(path, done) from error
                last = len(batch) < LINES_PER_CHUNK
                operations: list[Operation] = []
                rejects: list[Reject] = []
                for number, values in enumerate(batch, done + 1):
                    row = dict(zip(names, values, strict=True))
                    try:
                        operations.append(mapper.operation(row))
                    except InvalidOperation as error:
                        rejects.append(Reject(number, str(error), fields.canonical(row).encode()))
                done += len(batch)
                position = Position(done, done, version, "", {"seen": mapper.save()})
                bytes_done = status.st_size * done // max(total, 1)
                yield Chunk(operations, rejects, len(batch), 0, position, restarted, last, bytes_done)
                restarted = False
                if last:
                    return


def _parquet_rows(
    connection: duckdb.DuckDBPyConnection, path: Path, offset: int
) -> tuple[list[str], duckdb.DuckDBPyConnection]:
    """The columns, and a cursor over the rows from `offset` on, in the order of the file."""
    try:
        described = connection.execute("describe select * from read_parquet($path)", {"path": str(path)}).fetchall()
        # Times with a zone come as epoch microseconds: fetching them as they are needs another package.
        columns = ", ".join(
            f'epoch_us("{_quoted(name)}") as "{_quoted(name)}"'
            if kind == "TIMESTAMP WITH TIME ZONE"
            else f'"{_quoted(name)}"'
            for name, kind, *_ in described
        )
        rows = connection.execute(
            f"select {columns} from read_parquet($path) offset $offset", {"path": str(path), "offset": offset}
        )
    except duckdb.Error as error:
        raise _unreadable(path) from error
    return [name for name, *_ in described], rows


def _unreadable(path: Path, rows: int = 0) -> ConfigError:
    """The engine's own words name its internals and no remedy; they stay in the chained error."""
    after = f" after row {rows:,}; the rows before are imported" if rows else ""
    return ConfigError(
        f"{path} is damaged or not a Parquet file: it cannot be read{after}. Write or copy it again, then import it."
    )


def _parquet_total(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    question = "select num_rows from parquet_file_metadata($path)"
    try:
        counted = connection.cursor().execute(question, {"path": str(path)}).fetchone()
    except duckdb.Error as error:
        raise _unreadable(path) from error
    return counted[0] if counted else 0


def _quoted(name: str) -> str:
    return name.replace('"', '""')


class _JsonRows(LineParser):
    """One JSON object a line; which keys it has may change from line to line."""

    def __init__(self, mapper: Mapper) -> None:
        self._mapper = mapper
        self._done: list[Operation] = []

    def feed(self, raw: bytes) -> bool:
        self._done.append(self._mapper.operation(fields.json_object(raw)))
        return True

    def drain(self) -> list[Operation]:
        done, self._done = self._done, []
        return done

    def finish(self) -> list[Operation]:
        return []

    def save(self) -> dict[str, Any]:
        return {"seen": self._mapper.save()}


class _CsvRows(LineParser):
    """Rows below a header line. A quoted value may hold line ends."""

    def __init__(self, mapper: Mapper, state: Mapping[str, Any]) -> None:
        self._mapper = mapper
        self._header: list[str] | None = state.get("header")
        self._delimiter: str = state.get("delimiter", ",")
        self._begun: list[str] = list(state.get("begun", ()))
        """Lines of a row whose quote is still open."""
        self._done: list[Operation] = []

    def feed(self, raw: bytes) -> bool:
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            raise InvalidOperation(f"not UTF-8 text: {error.reason} at byte {error.start + 1}") from None
        if self._header is None:
            self._delimiter = max(DELIMITERS, key=line.count)
            header = [name.strip() for name in self._split(line)]
            self._mapper.layout(header)
            self._header = header
            return False
        lines = [*self._begun, line]
        row = "\n".join(lines)
        if row.count('"') % 2:
            if len(lines) >= MAX_ROW_LINES:
                self._begun = []
                raise InvalidOperation(f"a quote opened {len(lines) - 1} lines earlier is not closed; they are skipped")
            self._begun = lines
            return False
        self._begun = []
        values = self._split(row)
        if len(values) != len(self._header):
            raise InvalidOperation(f"{len(values)} values where the header names {len(self._header)} columns")
        self._done.append(self._mapper.operation(dict(zip(self._header, values, strict=True))))
        return True

    def _split(self, row: str) -> list[str]:
        try:
            rows = list(csv.reader([row], delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            raise InvalidOperation(f"not a CSV row: {error}") from None
        return rows[0] if rows else []

    def drain(self) -> list[Operation]:
        done, self._done = self._done, []
        return done

    def finish(self) -> list[Operation]:
        if self._begun:
            raise InvalidOperation(f"a quote opened {len(self._begun) - 1} lines earlier is not closed at the end")
        return []

    def save(self) -> dict[str, Any]:
        return {
            "seen": self._mapper.save(),
            "header": self._header,
            "delimiter": self._delimiter,
            "begun": self._begun,
        }
