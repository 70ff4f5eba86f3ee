"""Aider's analytics log (`--analytics-log`): one JSON event a line, times in whole seconds.

Events of one second are in no particular order in published logs, so a second's events are taken together and
put into the order a session goes through. See docs/importers.md for what each event becomes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any, cast

from ralex_core.collection.importers import fields
from ralex_core.collection.importers.aider_sessions import (
    EDIT,
    EXCEPTION,
    LAUNCHING,
    SECOND_US,
    SEND,
    Event,
    Sessions,
    by_user,
)
from ralex_core.collection.importers.base import ImportOptions, Machine, Memory
from ralex_core.collection.importers.lines import LineImporter, LineParser
from ralex_core.errors import InvalidOperation
from ralex_core.model.operation import Operation, derived_id

NAME = "aider"
FREE_SUFFIX = ":free"
QUESTION_FORMATS = ("ask", "help", "context", "architect")
"""Edit formats that change no file themselves; each is its own feature."""
COMMAND_PREFIX = "command_"
CONTEXT_KEYS = ("aider_version", "weak_model", "editor_model")
REMEMBERED_LINES = 256

_CONFIGURED_LOG = re.compile(r"^\s*analytics-log\s*:\s*['\"]?([^'\"#\n]+)", re.MULTILINE)

_ERROR_TYPES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"certificate_verify_failed|\[ssl\b", "ssl_error"),
        (r"\b404\b", "not_found"),
        (r"\b429\b|rate.?limit", "rate_limit"),
        (r"\b401\b|\b403\b|api.?key", "authentication"),
        (r"\b50[0-9]\b|\b529\b|overloaded|service unavailable", "server_error"),
        (r"timed? ?out", "timeout"),
        (r"connection (refused|reset|error|aborted)", "connection_error"),
        (r"properly alternate", "invalid_messages"),
        (r"iter_lines", "unread_response"),
        (r"^model is none", "model_missing"),
        (r"has no attribute", "AttributeError"),
        (r"^name '.*' is not defined", "NameError"),
        (r"cannot import name", "ImportError"),
        (r"cannot access local variable", "UnboundLocalError"),
        (r"unsupported operand|unexpected keyword|positional argument", "TypeError"),
    )
)


class AiderImporter(LineImporter):
    """See the module."""

    name = NAME
    title = "Aider"
    reads = "Messages with model, tokens and reported cost, commands, errors, undone edits. The log holds no chat text."

    def __init__(self, options: ImportOptions) -> None:
        self._zone = options.zone

    def roots(self, machine: Machine) -> Sequence[Path]:
        """The log that the environment or Aider's configuration names; Aider itself has no default place for it."""
        named = [machine.environ.get("AIDER_ANALYTICS_LOG", "")]
        for directory in (machine.cwd, machine.home):
            configuration = directory / ".aider.conf.yml"
            if configuration.is_file():
                named += _CONFIGURED_LOG.findall(configuration.read_text("utf-8", "replace"))
        paths = [_below(machine, name.strip()) for name in named if name.strip()]
        return list(dict.fromkeys([*paths, machine.home / ".aider" / "analytics.jsonl"]))

    def parser(self, path: Path, state: Mapping[str, Any], memory: Memory) -> LineParser:
        return _Parser(self._zone, state)


class _Parser(LineParser):
    """Collects the events of a second and lets each user's sessions take them once the second is over."""

    def __init__(self, zone: tzinfo | None, state: Mapping[str, Any]) -> None:
        self._zone = zone
        self._lines: int = state.get("lines", 0)
        self._ordinals = fields.Ordinals(REMEMBERED_LINES, state.get("seen"))
        self._second = [Event.unpack(packed) for packed in state.get("second", ())]
        users = cast(Mapping[str, Mapping[str, Any]], state.get("users", {}))
        self._users = {user: Sessions(user, saved) for user, saved in users.items()}
        self._done: list[Operation] = []

    def feed(self, raw: bytes) -> bool:
        event = self._event(fields.json_object(raw))
        if self._second and event.time_s != self._second[0].time_s:
            self._settle()
        self._lines += 1
        self._second.append(event)
        return event.operation is not None

    def drain(self) -> list[Operation]:
        done, self._done = self._done, []
        return done

    def finish(self) -> list[Operation]:
        self._settle()
        for sessions in self._users.values():
            self._done += sessions.held()
        return self.drain()

    def save(self) -> dict[str, Any]:
        return {
            "lines": self._lines,
            "seen": self._ordinals.save(),
            "second": [event.pack() for event in self._second],
            "users": {user: sessions.save() for user, sessions in self._users.items()},
        }

    def _settle(self) -> None:
        # The lines read so far are the revision: what a longer log says of a message replaces what a shorter said.
        second = self._second
        groups = {second[0].user or "": second} if len(second) == 1 else by_user(second)
        for user, events in groups.items():
            if user not in self._users:
                self._users[user] = Sessions(user)
            self._done += self._users[user].take(events, self._lines)
        self._second = []

    def _event(self, record: dict[str, Any]) -> Event:
        name = fields.text(record, "event")
        if name is None:
            raise InvalidOperation("event is missing: not a line of an Aider analytics log")
        user = fields.text(record, "user_id")
        time_s = fields.time_us(record.get("time"), "time", self._zone) // SECOND_US
        properties = fields.nested(record, "properties")
        operation = _operation(name, properties)
        cost = total = None
        if name == SEND:
            cost = fields.money(properties.get("cost"), "cost")
            total = fields.money(properties.get("total_cost"), "total_cost")
        identity = ""
        if operation is not None or name in LAUNCHING:
            content = fields.canonical(record)
            identity = derived_id(NAME, user or "", str(time_s), content, self._ordinals.next(content))
        if operation is not None:
            operation = operation._replace(
                operation_id=identity,
                started_at=time_s * SECOND_US,
                user_id=user,
                service=NAME,
                door="importer",
                source=NAME,
            )
        return Event(name, user, time_s, identity, operation, cost, total)


def _operation(name: str, properties: Mapping[str, Any]) -> Operation | None:
    """What the event stands for; None when it only tells about others."""
    if name == SEND:
        return _send(properties)
    if name == EXCEPTION:
        said = properties.get("exception")
        return Operation(
            "",
            "task",
            "message",
            0,
            status="error",
            outcome="failed",
            error_type=error_type(said if isinstance(said, str) else ""),
        )
    if name.startswith(COMMAND_PREFIX):
        return Operation(
            "", "tool", name, 0, feature=name.removeprefix(COMMAND_PREFIX), attributes=_context(properties)
        )
    return None


def _send(properties: Mapping[str, Any]) -> Operation:
    named = fields.text(properties, "main_model")
    provider, model = fields.split_model(named)
    input_tokens = fields.count(properties, "prompt_tokens")
    output_tokens = fields.count(properties, "completion_tokens")
    cost = fields.money(properties.get("cost"), "cost")
    if not input_tokens and not output_tokens:
        input_tokens = output_tokens = None  # every message has a prompt: no tokens means no usage was reported
    if cost == 0 and not (named or "").endswith(FREE_SUFFIX):
        cost = None  # Aider writes 0 when it knows no price
    edit_format = fields.text(properties, "edit_format")
    return Operation(
        "",
        "llm",
        SEND,
        0,
        feature=edit_format if edit_format in QUESTION_FORMATS else EDIT,
        workflow=edit_format,
        provider=provider,
        requested_model=None if named in fields.UNNAMED else named,
        model=model,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        reported_usd=cost,
        attributes=_context(properties),
    )


def _context(properties: Mapping[str, Any]) -> str | None:
    return fields.attributes(**{key: fields.text(properties, key) for key in CONTEXT_KEYS})


def error_type(said: str) -> str:
    """A short name for an exception's text, which may quote the chat and is not kept."""
    return next((name for pattern, name in _ERROR_TYPES if pattern.search(said[:2000])), "exception")


def _below(machine: Machine, name: str) -> Path:
    """The path a configuration names: `~` is the machine's home, a relative one is below the working directory."""
    if name.startswith("~/"):
        return machine.home / name[2:]
    return machine.cwd / name
