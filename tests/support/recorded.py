"""What a program recorded, read where it would go to a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ralex_core.collection import active
from ralex_core.model.operation import Operation
from ralex_core.monitoring import configure, flush, instrument


class Recorded:
    """The operations that reached the sink so far, as they ended; everything recorded is flushed first."""

    def __init__(self) -> None:
        self.taken: list[Operation] = []

    def all(self, kind: str | None = None) -> list[Operation]:
        assert flush()
        taken = sorted(self.taken, key=lambda op: op.started_at + (op.duration_ms or 0) * 1000)
        return [op for op in taken if kind is None or op.kind == kind]

    def names(self, kind: str | None = None) -> list[str]:
        return [op.name for op in self.all(kind)]

    def one(self, kind: str | None = None) -> Operation:
        (only,) = self.all(kind)
        return only

    def named(self, name: str) -> Operation:
        (only,) = [op for op in self.all() if op.name == name]
        return only

    def clear(self) -> None:
        self.all()
        self.taken.clear()


def attributes(operation: Operation) -> dict[str, Any]:
    return json.loads(operation.attributes or "{}")


@contextmanager
def recording() -> Iterator[Recorded]:
    """Everything recorded in the block; afterwards nothing is switched on and nothing recorded."""
    recorded = Recorded()
    configure(sink=recorded.taken.extend)
    active.defaults.set(None)
    try:
        yield recorded
    finally:
        instrument.off()
        active.defaults.set(None)
        configure(enabled=False)
