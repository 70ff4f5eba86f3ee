"""Calls that came in lately, by the provider's id of them: what a second door tells of one is recognised.

A call may be seen by the client's SDK, by the gateway it passes, by spans and by a provider's own export. The id of the
answer joins them, or that of the request, which the gateway knows as well, and nothing else does; but some servers give
every answer the same id. So two operations are one call only when they came in different ways, within minutes, and
neither contradicts the other's count of tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import NamedTuple

import orjson

from ralex_core.model.operation import Operation
from ralex_core.model.window import HOUR_US, MINUTE_US
from ralex_core.storage.telemetry import Store

GATEWAY = "gateway"
KEPT = 20_000
APART_US = 10 * MINUTE_US
"""How far apart two doors may say that a call started: clocks differ, and some only know when it ended."""

_COLUMNS = (
    "provider_request_id, operation_id, started_at, door, source, service, input_tokens, output_tokens, "
    "billed_usd is not null, case when door = 'gateway' then json_extract_string(attributes, '$.request_id') end"
)


class _Seen(NamedTuple):
    operation_id: str
    started_at: int
    way: tuple[str, str | None, str | None]
    input_tokens: int | None
    output_tokens: int | None
    is_billed: bool

    @property
    def service(self) -> str | None:
        return self.way[2]

    def may_be(self, other: _Seen) -> bool:
        """Whether both can tell of one call."""
        return (
            self.way != other.way
            and abs(self.started_at - other.started_at) <= APART_US
            and (None in (self.input_tokens, other.input_tokens) or self.input_tokens == other.input_tokens)
            and (None in (self.output_tokens, other.output_tokens) or self.output_tokens == other.output_tokens)
        )

    @property
    def worth(self) -> int:
        """Who tells more of what the call cost: the one with the bill, else the one that counted, else the gateway,
        which knows in whose budgets the call was made."""
        return 4 * self.is_billed + 2 * (self.output_tokens is not None) + (self.way[0] == GATEWAY)


class Repeat(NamedTuple):
    """An operation that tells of a call another one tells of already, or better."""

    operation_id: str
    started_at: int
    counted_by: str


class SeenCalls:
    """For the writer thread only. Begins with the last hour of what is stored."""

    def __init__(self, store: Store, apart: Collection[str] = ()) -> None:
        """`apart`: services whose calls are compared with each other elsewhere."""
        self._apart = apart
        rows = store.query(
            f"select {_COLUMNS} from operations where kind = 'llm' "
            "and (provider_request_id is not null or door = 'gateway') "
            "and started_at >= (select max(started_at) from operations) - $reach "
            "order by started_at desc, operation_id limit $limit",
            {"reach": HOUR_US, "limit": KEPT},
        )
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        for row in reversed(rows):
            seen = _Seen(row[1], row[2], (row[3], row[4], row[5]), row[6], row[7], row[8])
            for name in (row[0], row[9]):
                if name is not None:
                    self._seen[name] = seen

    def repeats(self, calls: Iterable[Operation]) -> list[Repeat]:
        """Which operations must not count because another tells of the same call; remembers these calls."""
        seen, found = self._seen, list[Repeat]()
        for op in calls:
            names = _names(op)
            if not names:
                continue
            new = _Seen(
                op.operation_id,
                op.started_at,
                (op.door, op.source, op.service),
                op.input_tokens,
                op.output_tokens,
                op.billed_usd is not None,
            )
            kept = new
            for name in names:
                known = seen.get(name)
                if known is None or known.operation_id == kept.operation_id:
                    seen[name] = kept
                    continue
                if self._is_apart(known, kept) or not known.may_be(kept):
                    continue
                kept, aside = (kept, known) if kept.worth > known.worth else (known, kept)
                seen[name] = kept
                found.append(Repeat(aside.operation_id, aside.started_at, kept.operation_id))
        while len(seen) > KEPT:
            seen.popitem(last=False)
        return found

    def _is_apart(self, one: _Seen, other: _Seen) -> bool:
        return one.service in self._apart and other.service in self._apart


def _names(operation: Operation) -> tuple[str, ...]:
    """Ids that another door may tell the call by."""
    answer = operation.provider_request_id
    if operation.door != GATEWAY or operation.attributes is None:
        return () if answer is None else (answer,)
    request: object = orjson.loads(operation.attributes).get("request_id")
    names = (answer, request if isinstance(request, str) else None)
    return tuple(dict.fromkeys(name for name in names if name))
