"""Finding operations by a text that people type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ralex_core.model.window import Filters, Scope, Window
from ralex_core.storage.queries.operations import IN_REQUEST, IN_TRACE, WITH_ID
from ralex_core.storage.queries.segments import among, conditions
from ralex_core.storage.telemetry import Store


def matching(store: Store, scope: Scope, text: str, parameters: dict[str, Any]) -> tuple[str, Window] | None:
    """The condition for part of a name, model or user, or a whole id, its values added to `parameters`, and the part of
    the window that has all such operations; None when there are none.

    Names, models, users and sessions are few: they are matched in the rollups, and the operations only by what was
    found there. Traces and request ids are looked for where nothing else was found.
    """
    names, models, users = _named(store, scope.filters, text.lower())
    found: list[str] = []
    for column, values in (("name", names), ("model", models), ("user_id", users)):
        if values:
            found.append(f"{column} {among(f's_{column}', values, parameters)}")
    window = scope.window
    ids = ["session_id = $id"] if _is_session(store, text) else []
    if there := _extent(store, window, WITH_ID, text):
        window = window if found or ids else there
        ids.append(WITH_ID)
    if not found and not ids:
        extents = {condition: _extent(store, window, condition, text) for condition in (IN_TRACE, IN_REQUEST)}
        ids = [condition for condition, extent in extents.items() if extent]
        window = _spanning([extent for extent in extents.values() if extent], window)
    if ids:
        parameters["id"] = text
    return (f"({' or '.join([*found, *ids])})", window) if found or ids else None


def _named(store: Store, filters: Filters, text: str) -> tuple[list[str], list[str], list[str]]:
    """Names, models and users with a text in them; of names and models no more than it takes to tell the operations."""
    parameters: dict[str, Any] = {"text": text, "since": store.coarse_until_us}
    known = conditions(Filters(project=filters.project, model=filters.model, tier=filters.tier), parameters)
    has_text = "(contains(lower(name), $text) or contains(lower(model), $text))"
    calls = set(
        store.query(
            f"select name, model from rollup_call_day where {has_text}{known} "
            f"union select name, model from operations where started_at >= $since and {has_text}{known}",
            parameters,
        )
    )
    users = store.query(
        "select user_id from rollup_user_name_day where contains(lower(user_id), $text) "
        "union select user_id from operations where started_at >= $since and contains(lower(user_id), $text)",
        {"text": text, "since": store.coarse_until_us},
    )
    by_name = {call for call in calls if call[0] is not None and text in call[0].lower()}
    by_model = {call for call in calls if call[1] is not None and text in call[1].lower()}
    names = {name for name, _ in by_name} if not by_name < by_model else set[str]()
    models = {model for _, model in by_model} if not by_model <= by_name else set[str]()
    return sorted(names), sorted(models), sorted(user for (user,) in users)


def _is_session(store: Store, text: str) -> bool:
    return bool(
        store.query(
            "(select 1 from rollup_session_day where session_id = $id limit 1) "
            "union (select 1 from operations where started_at >= $since and session_id = $id limit 1)",
            {"id": text, "since": store.coarse_until_us},
        )
    )


def _extent(store: Store, window: Window, condition: str, text: str) -> Window | None:
    """The part of the window from the first operation with an id to the last one; None when none has it."""
    first, last = store.query(
        "select min(started_at), max(started_at) from operations "
        f"where started_at >= $low and started_at < $high and {condition}",
        {"id": text, "low": window.start_us, "high": window.end_us},
    )[0]
    return None if first is None else Window(first, last + 1)


def _spanning(windows: Sequence[Window], otherwise: Window) -> Window:
    """From the start of the first to the end of the last."""
    if not windows:
        return otherwise
    return Window(min(window.start_us for window in windows), max(window.end_us for window in windows))
