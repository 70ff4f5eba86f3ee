"""OpenRouter's own sums beside ours, over the same UTC windows: how far they are apart, and what explains it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from ralex_core.model.window import DAY_US, Window
from ralex_core.monitoring.books.openrouter import Activity, KeyUsage
from ralex_core.storage.queries.reconciliation import RoutedSums, routed_sums
from ralex_core.storage.queries.statement import ROUNDING_RATIO
from ralex_core.storage.state_books import Finding, FindingState
from ralex_core.storage.telemetry import Store

SAME_USD = Decimal("0.0001")
"""OpenRouter's sums and ours are the same when they are no further apart than this, or than 0.1 %."""
ZERO = Decimal(0)
_MARKS = (":nitro", ":floor", ":online", ":exacto", ":extended", ":beta", ":thinking")
"""Routing marks a caller writes behind a model's name. OpenRouter's activity names the model without them."""


def key_findings(store: Store, usage: KeyUsage, asked_us: int) -> list[Finding]:
    """What a key used in the UTC day, week and month it was asked in."""
    found: list[Finding] = []
    for name, window in utc_windows(asked_us).items():
        credits, byok = usage.usage.get(name), usage.byok.get(name)
        if credits is None:
            continue
        sums = _only(routed_sums(store, [window]), window)
        theirs = credits + (byok or ZERO)
        state, why = explain(theirs, None, sums, is_over=False)
        if state == "unexplained":
            more = theirs > sums.cost_usd
            why = (
                "this key was also used past the monitor, or calls are missing here"
                if more
                else "calls here were made with other keys, which this one does not tell of"
            )
        if byok:
            why += f"; ${byok} of it by keys of your own at the providers"
        found.append(_finding("key", name, "", window, theirs, None, sums, state, why))
    return found


def activity_findings(store: Store, rows: Sequence[Activity], days: Sequence[date], asked_us: int) -> list[Finding]:
    """Each UTC day of an account, in all and by model; days and models without calls on either side are left out."""
    theirs: defaultdict[tuple[date, str], list[Activity]] = defaultdict(list)
    for row in rows:
        theirs[row.day, row.model.lower()].append(row)
    found: list[Finding] = []
    for day in days:
        window = utc_day(day)
        is_over = asked_us >= window.end_us
        models = _by_model(routed_sums(store, [window], by_model=True), {m for d, m in theirs if d == day}, rows)
        whole = _only(routed_sums(store, [window]), window)
        of_day = [row for (at, _), listed in theirs.items() if at == day for row in listed]
        if not of_day and not whole.calls:
            continue
        found.append(_activity_finding(day, "", window, of_day, whole, is_over))
        for model in sorted(models.keys() | {m for d, m in theirs if d == day}):
            sums = models.get(model, _nothing(window))
            found.append(_activity_finding(day, model, window, theirs.get((day, model), []), sums, is_over))
    return found


def explain(theirs: Decimal, theirs_calls: int | None, ours: RoutedSums, *, is_over: bool) -> tuple[FindingState, str]:
    """Whether the sums agree, and if not, which of the known reasons holds."""
    apart = theirs - ours.cost_usd
    if abs(apart) <= max(SAME_USD, abs(theirs) * ROUNDING_RATIO):
        return "agrees", "the same but for rounding"
    if ours.quarantined_usd and abs(apart - ours.quarantined_usd) <= max(SAME_USD, abs(theirs) * ROUNDING_RATIO):
        return "explained", f"bills of ${ours.quarantined_usd.normalize():f} are in quarantine here"
    reasons: list[str] = []
    if theirs_calls is not None and theirs_calls > ours.calls:
        reasons.append(f"OpenRouter counts {_calls(theirs_calls - ours.calls)} more than came past the monitor")
    if theirs_calls is not None and theirs_calls < ours.calls:
        reasons.append(f"{_calls(ours.calls - theirs_calls)} here, but not in this account's activity")
    if ours.unknown_calls and apart > 0:
        reasons.append(f"the cost of {_calls(ours.unknown_calls)} here is not known yet")
    if ours.unbilled_calls and abs(apart) <= ours.unbilled_usd * 3:
        reasons.append(
            f"{_calls(ours.unbilled_calls)} (${ours.unbilled_usd.normalize():f}) priced by the book until the bill is "
            "looked up"
        )
    if not is_over and theirs_calls is not None:
        reasons.append("the UTC day is not over, and OpenRouter's activity comes late")
    return ("explained", "; ".join(reasons)) if reasons else ("unexplained", "unexplained")


def _calls(number: int) -> str:
    return f"{number} call{'' if number == 1 else 's'}"


def utc_day(day: date) -> Window:
    start = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
    return Window(start, start + DAY_US)


def utc_windows(now_us: int) -> dict[str, Window]:
    """The UTC day, week (from Monday) and month a moment is in, up to that moment."""
    today = datetime.fromtimestamp(now_us / 1_000_000, UTC).date()
    starts = {"day": today, "week": today - timedelta(days=today.weekday()), "month": today.replace(day=1)}
    return {name: Window(utc_day(start).start_us, now_us + 1) for name, start in starts.items()}


def plain_model(name: str) -> str:
    """A model's name as OpenRouter's activity has it: `openrouter/openai/gpt-4o:nitro` is `openai/gpt-4o`."""
    found = name.lower()
    if found.count("/") > 1:
        found = found.removeprefix("openrouter/")
    for mark in _MARKS:
        found = found.removesuffix(mark)
    return found


def _by_model(found: Sequence[RoutedSums], listed: set[str], rows: Sequence[Activity]) -> dict[str, RoutedSums]:
    """Our sums under the names OpenRouter lists: the model's, or its permanent one."""
    permanent = {row.permaslug.lower(): row.model.lower() for row in rows if row.permaslug}
    merged: dict[str, RoutedSums] = {}
    for sums in found:
        name = plain_model(sums.model or "not known")
        if name not in listed:
            name = permanent.get(name, name)
        known = merged.get(name)
        merged[name] = sums._replace(model=name) if known is None else _together(known, sums)
    return merged


def _together(one: RoutedSums, other: RoutedSums) -> RoutedSums:
    return one._replace(
        calls=one.calls + other.calls,
        cost_usd=one.cost_usd + other.cost_usd,
        unknown_calls=one.unknown_calls + other.unknown_calls,
        unbilled_calls=one.unbilled_calls + other.unbilled_calls,
        unbilled_usd=one.unbilled_usd + other.unbilled_usd,
        quarantined_usd=one.quarantined_usd + other.quarantined_usd,
    )


def _activity_finding(
    day: date, model: str, window: Window, rows: Sequence[Activity], ours: RoutedSums, is_over: bool
) -> Finding:
    theirs = sum((row.true_usd for row in rows), ZERO)
    calls = sum(row.requests for row in rows)
    state, why = explain(theirs, calls, ours, is_over=is_over)
    byok = sum((row.byok_usd for row in rows), ZERO)
    if byok:
        why += f"; ${byok} of it by keys of your own at the providers"
    return _finding("activity", day.isoformat(), model, window, theirs, calls, ours, state, why)


def _finding(
    source: str,
    period: str,
    model: str,
    window: Window,
    theirs: Decimal,
    calls: int | None,
    ours: RoutedSums,
    state: FindingState,
    why: str,
) -> Finding:
    return Finding(
        source="key" if source == "key" else "activity",
        period=period,
        model=model,
        start_at=window.start_us,
        end_at=window.end_us,
        theirs_usd=theirs,
        ours_usd=ours.cost_usd,
        theirs_calls=calls,
        ours_calls=ours.calls,
        state=state,
        explanation=why,
    )


def _only(found: Sequence[RoutedSums], window: Window) -> RoutedSums:
    return found[0] if found else _nothing(window)


def _nothing(window: Window) -> RoutedSums:
    return RoutedSums(window.start_us, None, 0, ZERO, 0, 0, ZERO, ZERO)
