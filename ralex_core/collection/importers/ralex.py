"""Ralex's own logs: `usage.jsonl` of its budget manager, and the `.ai-logs` of its universal logger.

`.ai-logs` tells about one call in several places: the operation, what it really cost (`costs.jsonl`), and what
became of it (`execution_result`). The importer remembers each operation, so that what is read later, in whichever
file, amends it. The content files are never opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

from ralex_core.collection.importers import fields
from ralex_core.collection.importers.base import ImportOptions, Machine, Memory
from ralex_core.collection.importers.lines import LineImporter, LineParser
from ralex_core.errors import InvalidOperation
from ralex_core.model.money import decimal_text
from ralex_core.model.operation import Operation, derived_id

NAME = "ralex"
FREE_SUFFIX = ":free"
ROUTER = "openrouter"
"""Ralex calls every model through OpenRouter, whose names are `vendor/model`."""
STEPS = ("model_routing", "execution_result")
"""Operations that are steps around a call, not calls."""
REMEMBERED_LINES = 256
SAME_CALL_US = 120_000_000
"""Two records of the same model and cost within this time may be one call, seen by both logs."""

_LOG_NAME = re.compile(r"usage\.jsonl|operations-.*\.jsonl|costs\.jsonl")
_PATH_END = re.compile(r"[^/\\]+(?=[/\\]*$)")


class RalexImporter(LineImporter):
    """See the module."""

    name = NAME
    title = "Ralex"
    reads = "Model, tokens or lengths, cost and result of every call. Prompts and answers (content files) are not read."

    def __init__(self, options: ImportOptions) -> None:
        self._zone = options.zone

    def roots(self, machine: Machine) -> Sequence[Path]:
        return [
            machine.home / ".ralex" / "usage.jsonl",
            *dict.fromkeys((machine.cwd / ".ai-logs", machine.home / ".ai-logs")),
        ]

    def files_in(self, path: Path) -> Sequence[Path]:
        found = super().files_in(path)
        return [file for file in found if file == path or _LOG_NAME.fullmatch(file.name)]

    def parser(self, path: Path, state: Mapping[str, Any], memory: Memory) -> LineParser:
        return _Parser(self._zone, state, memory)


class _Parser(LineParser):
    """Takes each record for what its fields say it is; a file may hold any of them."""

    def __init__(self, zone: tzinfo | None, state: Mapping[str, Any], memory: Memory) -> None:
        self._zone = zone
        self._memory = memory
        self._ordinals = fields.Ordinals(REMEMBERED_LINES, state.get("seen"))
        self._done: list[Operation] = []

    def feed(self, raw: bytes) -> bool:
        record = fields.json_object(raw)
        if "operation_type" in record:
            return self._logged(record)
        if "actual_cost" in record:
            return self._cost(record)
        if "tokens_sent" in record or "tokens_received" in record:
            return self._usage(record)
        raise InvalidOperation("neither a usage record nor an operation nor a cost of Ralex")

    def drain(self) -> list[Operation]:
        done, self._done = self._done, []
        return done

    def finish(self) -> list[Operation]:
        return []

    def save(self) -> dict[str, Any]:
        return {"seen": self._ordinals.save()}

    # --- usage.jsonl -------------------------------------------------------------------------------------------

    def _usage(self, record: Mapping[str, Any]) -> bool:
        model = fields.text(record, "model")
        sent, received = fields.count(record, "tokens_sent"), fields.count(record, "tokens_received")
        if not sent and not received:
            sent = received = None  # no call has no tokens: nothing was counted
        started_at = fields.time_us(record.get("timestamp"), "timestamp", self._zone)
        cost = _claim(fields.money(record.get("cost"), "cost"), model)
        task = fields.text(record, "task_type")
        content = fields.canonical(record)
        operation_id = derived_id(NAME, "usage", content, self._ordinals.next(content))
        operation = _call(operation_id, "model_call", started_at, model, cost)
        self._done.append(
            operation._replace(
                feature=task,
                input_tokens=sent,
                output_tokens=received,
                attributes=fields.attributes(
                    suspected_duplicate_of=self._seen_elsewhere("usage", operation),
                ),
            )
        )
        return True

    # --- .ai-logs ----------------------------------------------------------------------------------------------

    def _logged(self, record: Mapping[str, Any]) -> bool:
        logged_id = fields.text(record, "operation_id")
        if logged_id is None:
            raise InvalidOperation("operation_id is missing")
        kind = fields.text(record, "operation_type") or "operation"
        metadata = fields.nested(record, "metadata")
        about: dict[str, Any] = {**metadata, **record}
        model = fields.text(record, "model")
        started_at = self._started(record)
        cost = _claim(fields.money(record.get("cost"), "cost"), model)
        parent = fields.text(about, "parent_operation_id")
        failed = kind == "execution_result" and about.get("success") is False
        project = _PATH_END.search(fields.text(record, "project_path") or "")
        operation_id = derived_id(NAME, logged_id)
        operation = (
            _call(operation_id, kind, started_at, model, cost)
            if model is not None and kind not in STEPS
            else Operation(operation_id, "task", kind, started_at)
        )
        operation = operation._replace(
            status="error" if failed else "ok",
            error_type="execution_failed" if failed else None,
            outcome="failed" if failed else "unknown",
            trace_id=derived_id(NAME, "trace", parent or logged_id),
            span_id=operation_id[:16],
            parent_span_id=derived_id(NAME, parent)[:16] if parent else None,
            service=NAME,
            project=project.group() if project else None,
            client="terminal",
            session_id=fields.text(record, "session_id"),
            door="importer",
            source=NAME,
            attributes=fields.attributes(
                prompt_length=fields.count(record, "prompt_length"),
                response_length=fields.count(record, "response_length"),
                detected_tool=fields.text(record, "detected_tool"),
                original_model=fields.text(about, "original_model"),
                selected_model=fields.text(about, "selected_model"),
                suspected_duplicate_of=self._seen_elsewhere("log", operation),
            ),
        )
        self._amend(logged_id, operation=operation)
        if failed and parent is not None:
            self._amend(parent, failed=True)
        return True

    def _started(self, record: Mapping[str, Any]) -> int:
        """When it was logged. The epoch is exact to a second but in no doubt about zones; the text is finer."""
        said = record.get("timestamp")
        epoch = record.get("unix_timestamp")
        named_zone = isinstance(said, str) and said.rstrip().endswith(("Z", "+00:00"))
        if said is not None and (named_zone or epoch is None):
            return fields.time_us(said, "timestamp", self._zone)
        return fields.time_us(epoch, "unix_timestamp", self._zone)

    def _cost(self, record: Mapping[str, Any]) -> bool:
        """What an operation really cost, logged after it; the latest word counts."""
        logged_id = fields.text(record, "operation_id")
        if logged_id is None:
            raise InvalidOperation("operation_id is missing")
        actual = fields.money(record.get("actual_cost"), "actual_cost")
        said_at = record.get("updated_at")
        at_ms = 1 if said_at is None else fields.time_us(said_at, "updated_at", self._zone) // 1000
        self._amend(logged_id, actual=actual, at_ms=at_ms)
        return False

    def _amend(
        self,
        logged_id: str,
        *,
        operation: Operation | None = None,
        actual: Decimal | None = None,
        at_ms: int = 0,
        failed: bool = False,
    ) -> None:
        """Note what became known of a logged operation, and give it out as it stands if it has been read."""
        text = self._memory.recall(logged_id)
        known: dict[str, Any] = {} if text is None else json.loads(text)
        if operation is not None:
            known["operation"] = fields.pack(operation)
        if at_ms > known.get("cost_at_ms", 0):
            known |= {"actual": decimal_text(actual), "cost_at_ms": at_ms}
        if failed:
            known["failed"] = True
        changed = json.dumps(known, separators=(",", ":"), sort_keys=True)
        if changed != text:
            self._memory.remember(logged_id, changed)
        if "operation" in known and (operation is not None or changed != text):
            self._done.append(_as_known(known))

    def _seen_elsewhere(self, log: str, operation: Operation) -> str | None:
        """The operation of the other log that may be the same call: same model and cost, about the same time."""
        if operation.kind != "llm" or not operation.reported_usd:
            return None
        key = f"call:{operation.requested_model}:{decimal_text(operation.reported_usd)}"
        text = self._memory.recall(key)
        calls: list[list[Any]] = [] if text is None else json.loads(text)
        mine = [log, operation.started_at, operation.operation_id]
        if mine not in calls:
            calls = [*calls, mine][-8:]
            self._memory.remember(key, json.dumps(calls, separators=(",", ":")))
        near = (call for call in calls if call[0] != log and abs(call[1] - operation.started_at) <= SAME_CALL_US)
        return next((str(call[2]) for call in near), None)


def _call(operation_id: str, name: str, started_at: int, model: str | None, cost: Decimal | None) -> Operation:
    plain = (model or "").removeprefix(f"{ROUTER}/")
    return Operation(
        operation_id,
        "llm",
        name,
        started_at,
        service=NAME,
        client="terminal",
        provider=ROUTER if "/" in plain else None,
        requested_model=model,
        model=plain or None,
        reported_usd=cost,
        door="importer",
        source=NAME,
    )


def _claim(cost: Decimal | None, model: str | None) -> Decimal | None:
    """A cost of 0 is what Ralex writes when it does not know; only a free model costs nothing."""
    return cost if cost or (model or "").endswith(FREE_SUFFIX) else None


def _as_known(known: Mapping[str, Any]) -> Operation:
    """The operation with everything that became known later. Newer knowledge has a higher revision."""
    operation = fields.unpack(known["operation"])
    failed = bool(known.get("failed"))
    actual = known.get("actual")
    if actual is not None and operation.kind == "llm":
        operation = operation._replace(reported_usd=_claim(Decimal(actual), operation.requested_model))
    if failed:
        operation = operation._replace(outcome="failed")
    return operation._replace(revision=known.get("cost_at_ms", 0) << 1 | failed)
