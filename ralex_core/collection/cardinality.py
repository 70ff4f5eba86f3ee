"""A limit on distinct operation names: routes with ids in them must not make rollups as large as the operations.

The first `max_names` names of a kind are kept for good, restarts included. Later ones are stored as `OTHER`, with the
real name among the attributes, counted, and told about by `capped_kinds`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import orjson

from ralex_core.model.operation import KINDS, Operation
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.queries.names import names_by_kind
from ralex_core.storage.telemetry import Store

OTHER = "(other)"
"""The name of operations whose own name was one too many."""
REAL_NAME = "operation.name"
"""The attribute that has it."""


class NameCap:
    """Which operation names a store may hold. Safe to use from several threads."""

    def __init__(self, get_store: Callable[[], Store], max_names: int, metrics: SelfMetrics) -> None:
        self._get_store = get_store
        self._max_names = max_names
        self._metrics = metrics
        self._known: dict[str, set[str]] | None = None
        self._full: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    @property
    def max_names(self) -> int:
        return self._max_names

    @property
    def capped_kinds(self) -> tuple[str, ...]:
        """Kinds of which names were left out in this run of the process, sorted."""
        return tuple(sorted(self._full))

    def __call__(self, operations: Sequence[Operation]) -> Sequence[Operation]:
        """The operations, those with a name too many renamed. Costs about 0.1 µs for each that is known.

        The first call reads the names that are stored.

        Raises:
            StoreError: they cannot be read.
        """
        known = self._known or self._load()
        strange = [place for place, op in enumerate(operations) if op.name not in known[op.kind]]
        return self._admit(operations, strange, known) if strange else operations

    def _load(self) -> dict[str, set[str]]:
        with self._lock:
            if self._known is None:
                stored = names_by_kind(self._get_store(), self._max_names, besides=OTHER)
                self._known = {kind: {OTHER, *stored.get(kind, ())} for kind in KINDS}
            return self._known

    def _admit(
        self, operations: Sequence[Operation], strange: list[int], known: dict[str, set[str]]
    ) -> list[Operation]:
        found = list(operations)
        capped = 0
        with self._lock:
            for place in strange:
                operation = found[place]
                names = known[operation.kind]
                if operation.name in names:
                    continue  # admitted a moment ago
                if len(names) <= self._max_names:  # OTHER is one of them
                    names.add(operation.name)
                    continue
                found[place] = _renamed(operation)
                capped += 1
                if operation.kind not in self._full:
                    self._full |= {operation.kind}
        if capped:
            self._metrics.add("names_capped_total", capped)
        return found


def _renamed(operation: Operation) -> Operation:
    real = orjson.dumps({REAL_NAME: operation.name}).decode()
    if operation.attributes is not None and operation.attributes != "{}":
        real = f"{real[:-1]},{operation.attributes[1:]}"
    return operation._replace(name=OTHER, attributes=real)
