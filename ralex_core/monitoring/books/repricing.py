"""Pricing the past again with a corrected price book: first what would change, then the change, in bounded batches.

Each batch is one transaction in which every operation is read and priced anew, so nothing that came in meanwhile is
overwritten, and an interrupted run is finished by another one: what is right already does not change again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ralex_core.model.money import decimal_text
from ralex_core.model.operation import Operation, Pricing
from ralex_core.model.window import Window
from ralex_core.monitoring.books.valuing import Valuing
from ralex_core.pricing.book import PriceBook
from ralex_core.storage.state import StateStore
from ralex_core.storage.state_books import accepted_claims
from ralex_core.storage.telemetry import Store
from ralex_core.storage.writer import BatchWriter

BATCH = 1_000
"""Operations per transaction: other commits wait for one at most."""
AUDIT_BEGUN, AUDIT_DONE = "reprice", "repriced"
ZERO = Decimal(0)

_COLUMNS = [name for name in Operation._fields if name != "attributes"]
_AMOUNTS = tuple(place for place, name in enumerate(Pricing._fields) if name != "price_version")


@dataclass(slots=True)
class ModelChange:
    """What changes for one model of one provider. Costs are of the changed operations only."""

    provider: str | None
    model: str | None
    operations: int = 0
    before_usd: Decimal = ZERO
    after_usd: Decimal = ZERO
    became_known: int = 0
    """Operations without a cost that get one; `became_unknown` lose it."""
    became_unknown: int = 0
    quarantined: int = 0
    """Operations a claim of which is put into quarantine now; of `released` ones it counts again."""
    released: int = 0

    def add(self, before: Operation, after: Operation) -> None:
        self.operations += 1
        self.before_usd += before.cost_usd or ZERO
        self.after_usd += after.cost_usd or ZERO
        self.became_known += before.cost_usd is None and after.cost_usd is not None
        self.became_unknown += before.cost_usd is not None and after.cost_usd is None
        self.quarantined += before.quarantine is None and after.quarantine is not None
        self.released += before.quarantine is not None and after.quarantine is None


@dataclass(slots=True)
class Repricing:
    """What pricing a window again changes, or has changed (`applied`). Totals are of all calls in the window."""

    window: Window
    model: str | None
    applied: bool
    examined: int = 0
    changed: int = 0
    before_usd: Decimal = ZERO
    after_usd: Decimal = ZERO
    models: dict[tuple[str | None, str | None], ModelChange] = field(
        default_factory=dict[tuple[str | None, str | None], ModelChange]
    )
    versions: dict[str, int] = field(default_factory=dict[str, int])
    """Price version → changed operations that now have it."""

    def add(self, before: Operation, after: Operation) -> None:
        key = (before.provider, before.model)
        self.models.setdefault(key, ModelChange(*key)).add(before, after)
        version = after.price_version or "none"
        self.versions[version] = self.versions.get(version, 0) + 1
        self.changed += 1

    def by_model(self) -> list[ModelChange]:
        """The largest change first."""
        return sorted(
            self.models.values(),
            key=lambda one: (-abs(one.after_usd - one.before_usd), -one.operations, str(one.provider), str(one.model)),
        )

    def audit_detail(self, by: str, reason: str) -> dict[str, Any]:
        """Who, why, and what changed, with the totals before and after."""
        return {
            "by": by,
            "reason": reason,
            "from_us": self.window.start_us,
            "to_us": self.window.end_us,
            "model": self.model,
            "examined": self.examined,
            "changed": self.changed,
            "before_usd": decimal_text(self.before_usd),
            "after_usd": decimal_text(self.after_usd),
            "price_versions": self.versions,
        }


def preview(store: Store, book: PriceBook, state: StateStore, window: Window, model: str | None = None) -> Repricing:
    """What pricing the calls of a window again would change. Stores nothing."""
    value = Valuing(book, accepted_claims(state)).priced
    found = Repricing(window, model, applied=False)
    for page in _pages(store, window, model):
        for before in page:
            _count(found, before, value(before))
    return found


def reprice(
    store: Store,
    writer: BatchWriter,
    book: PriceBook,
    state: StateStore,
    window: Window,
    model: str | None = None,
    *,
    by: str,
    reason: str = "",
) -> Repricing:
    """Price the calls of a window again; returns what was changed, after the rollups are exact again.

    The audit log gets an entry before the first change and one after the last: without the second, it was interrupted,
    and doing it again finishes it.
    """
    planned = preview(store, book, state, window, model)
    done = Repricing(window, model, applied=True, examined=planned.examined, before_usd=planned.before_usd)
    done.after_usd = planned.before_usd
    if not planned.changed:
        return done
    state.audit(AUDIT_BEGUN, model or "all models", planned.audit_detail(by, reason))
    value = Valuing(book, accepted_claims(state)).priced
    for page in _pages(store, window, model):
        wanted = [before.operation_id for before in page if _differs(before, value(before))]
        if not wanted:
            continue
        for before, after in writer.revalue(wanted, lambda op: _kept_or(op, value)).result():
            done.add(before, after)
            done.after_usd += (after.cost_usd or ZERO) - (before.cost_usd or ZERO)
    writer.flush()
    state.audit(AUDIT_DONE, model or "all models", done.audit_detail(by, reason))
    return done


def _kept_or(operation: Operation, value: Callable[[Operation], Operation]) -> Operation:
    after = value(operation)
    return after if _differs(operation, after) else operation


def _count(found: Repricing, before: Operation, after: Operation) -> None:
    found.examined += 1
    found.before_usd += before.cost_usd or ZERO
    if not _differs(before, after):
        found.after_usd += before.cost_usd or ZERO
        return
    found.after_usd += after.cost_usd or ZERO
    found.add(before, after)


_FIRST = Operation._fields.index(Pricing._fields[0])
_PLACES = tuple(_FIRST + place for place in _AMOUNTS)


def _differs(before: Operation, after: Operation) -> bool:
    """Whether anything but the version of the price list is different: the same price stays as it was given."""
    return any(before[place] != after[place] for place in _PLACES)


def _pages(store: Store, window: Window, model: str | None) -> Iterator[list[Operation]]:
    """The calls of a window in the order they started, `BATCH` at a time, without their attributes."""
    only = "" if model is None else " and model = $model"
    parameters: dict[str, Any] = {"high": window.end_us, "limit": BATCH} | ({} if model is None else {"model": model})
    at, last = window.start_us, ""
    while True:
        rows = store.query(
            f"select {', '.join(_COLUMNS)} from operations where started_at >= $at and started_at < $high "
            f"and kind = 'llm' and (started_at, operation_id) > ($at, $last){only} "
            "order by started_at, operation_id limit $limit",
            parameters | {"at": at, "last": last},
        )
        if not rows:
            return
        page = [Operation(*row) for row in rows]
        yield page
        at, last = page[-1].started_at, page[-1].operation_id
