"""Load through every door for servers that are killed, and a disk that can be filled and freed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ralex_core.collection.litellm_log import parse_litellm
from tests.support.load import (
    Batch,
    endless,
    litellm_call,
    native_batch,
    native_row,
    otlp_batch,
    otlp_span,
    otlp_spans_batch,
)
from tests.support.operations import random_operations

FILLS = 20
"""Tries to take what is left while a server writes too."""
TABLE_COLUMNS = ("operation_id", "started_at", "duration_ms", "input_tokens", "output_tokens")


def one_operation(rng: random.Random, size: int, started_at_us: int) -> Batch:
    """A single operation, as an object."""
    operation = _operations(rng, 1, started_at_us)[0]
    return _json("/api/v1/operations", native_row(operation), (operation.operation_id,))


def table_batch(rng: random.Random, size: int, started_at_us: int) -> Batch:
    """`size` operations as the rows of one table."""
    rows = [
        [f"{rng.getrandbits(128):032x}", started_at_us + index, 5.5, rng.randrange(900), rng.randrange(90)]
        for index in range(size)
    ]
    table = {"common": {"name": "chat", "kind": "llm"}, "columns": TABLE_COLUMNS, "rows": rows}
    return _json("/api/v1/operations", table, tuple(str(row[0]) for row in rows))


def otlp_json_batch(rng: random.Random, size: int, started_at_us: int) -> Batch:
    """`size` spans for the OTLP door, as JSON."""
    spans = [
        otlp_span(operation._replace(trace_id=f"{rng.getrandbits(128):032x}", span_id=f"{rng.getrandbits(64):016x}"))
        for operation in _operations(rng, size, started_at_us)
    ]
    return otlp_spans_batch(spans, as_json=True)


def litellm_batch(rng: random.Random, size: int, started_at_us: int) -> Batch:
    """`size` calls as a LiteLLM proxy tells them; the monitor makes their ids from the proxy's."""
    calls = [litellm_call(operation) for operation in _operations(rng, size, started_at_us)]
    body = json.dumps(calls).encode()
    ids = tuple(operation.operation_id for operation in parse_litellm(body).operations)
    return Batch("/api/v1/litellm", {"Content-Type": "application/json"}, body, ids)


def every_door(seed: int, started_at_us: int) -> list[Iterator[Batch]]:
    """A client for each door and shape of request, in small batches and in large ones."""
    doors = (
        (native_batch, 50), (native_batch, 3), (one_operation, 1), (table_batch, 100),
        (otlp_batch, 200), (otlp_batch, 20), (otlp_json_batch, 30), (litellm_batch, 20),
    )  # fmt: skip
    return [endless(make, seed + number, size, started_at_us) for number, (make, size) in enumerate(doors)]


def _operations(rng: random.Random, size: int, started_at_us: int) -> list[Any]:
    made = random_operations(rng.randrange(1 << 30), size, start_us=started_at_us, span_us=3_600_000_000)
    return [
        operation._replace(
            operation_id=f"{rng.getrandbits(128):032x}", trace_id=None, span_id=None, parent_span_id=None, status="ok"
        )
        for operation in made
    ]


def _json(path: str, value: object, ids: tuple[str, ...]) -> Batch:
    return Batch(path, {"Content-Type": "application/json"}, json.dumps(value).encode(), ids)


class SmallDisk:
    """A file system in memory of its own, which can be filled up and freed again. Needs to be root."""

    def __init__(self, place: Path, megabytes: int = 96) -> None:
        place.mkdir()
        self.place = place
        self._filler = place / "filler"
        options = f"size={megabytes}m,mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True, capture_output=True)

    def fill(self, left_kib: int) -> None:
        """Take all room but `left_kib`."""
        with self._filler.open("ab") as file:
            for _ in range(FILLS):
                status = os.statvfs(self.place)
                room = status.f_bavail * status.f_frsize - left_kib * 1024
                if room <= 0:
                    return
                with contextlib.suppress(OSError):  # the server took some of it meanwhile
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, room)

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        subprocess.run(["umount", str(self.place)], check=True)


def can_mount(directory: Path) -> bool:
    """Whether a `SmallDisk` can be made here: root in a container may not be allowed to."""
    try:
        SmallDisk(directory / "probe", 1).close()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
