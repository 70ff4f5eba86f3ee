"""Operations of which nearly all is known before they happen: a statement executed again, a route requested again."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

# On Windows `monotonic` ticks every 16 ms; elsewhere it is the same clock as `perf_counter`, and quicker to read.
steady = time.perf_counter_ns if sys.platform == "win32" else time.monotonic_ns


class Prepared:
    """What such operations have in common, and the name of the one count that differs between them.

    Takes the place of the name among the values of an operation (`recorder.Values`), and the count, or None, that of
    its fields. On the wire it is a row of a table then. Never changed after it was made.
    """

    __slots__ = ("attributes", "count_name", "fields", "kind", "made", "name")

    def __init__(
        self, name: str, kind: str, fields: dict[str, Any], attributes: dict[str, Any], count_name: str
    ) -> None:
        """`attributes` has at least one member; `count_name` is plain ASCII and none of them."""
        self.name = name
        self.kind = kind
        self.fields = fields
        self.attributes = attributes
        self.count_name = count_name
        self.made: tuple[Mapping[str, Any] | None, bytes] = (None, b"")
        """The table up to its rows, and the destination's constants it was made with."""

    def in_full(self, count: int | None) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
        """Name, kind, fields and attributes, as any other operation has them."""
        counted = {} if count is None else {self.count_name: count}
        return self.name, self.kind, self.fields, {**self.attributes, **counted}
