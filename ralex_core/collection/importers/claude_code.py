"""Claude Code's transcripts: `projects/**/*.jsonl`, one line per message block, tool result or note.

Responses become llm operations (see `claude_response`), tool calls tool operations, API errors failed llm
operations. Of what was typed and answered nothing is taken.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ralex_core.collection.attribute_names import FINGERPRINT_OF_ARGUMENTS, FINGERPRINT_OF_RESULT, FINGERPRINTS_OF_LINES
from ralex_core.collection.importers import fields
from ralex_core.collection.importers.base import ImportOptions, Machine, Memory
from ralex_core.collection.importers.claude_response import (
    SOURCE,
    Context,
    Line,
    Response,
    provider_of,
    read_usage,
    response_id,
)
from ralex_core.collection.importers.lines import LineImporter, LineParser
from ralex_core.errors import InvalidOperation
from ralex_core.model.operation import Operation, derived_id

SYNTHETIC = "<synthetic>"
"""The model of lines that Claude Code wrote itself."""

KEPT_MOMENTS = 64
"""Lines whose time is remembered: a response answers one of the latest."""
KEPT_RESPONSES = 16
KEPT_TOOLS = 256
KEPT_CHAINS = 32

_API_STATUS = re.compile(r"API Error:?\s*\(?(\d{3})")
_API_TYPE = re.compile(r'"type"\s*:\s*"(\w+_error)"')
_ERRORS: tuple[tuple[str, str], ...] = (
    ("usage limit", "usage_limit"),
    ("session limit", "usage_limit"),
    ("prompt is too long", "prompt_too_long"),
    ("credit balance", "billing_error"),
    ("api key", "authentication_failed"),
    ("/login", "authentication_failed"),
    ("timed out", "timeout"),
    ("connection error", "connection_error"),
    ("overloaded", "overloaded_error"),
)
_REFUSED = ("The user doesn't want to", "[Request interrupted by user")
"""How the result of a tool begins that the user did not let run, or stopped."""

_PATH_END = re.compile(r"[^/\\]+(?=[/\\]*$)")


class ClaudeCodeImporter(LineImporter):
    """See the module."""

    name = SOURCE
    title = "Claude Code"
    reads = "Model, tokens, times and tools of every response. What was typed, answered or edited is not stored."
    suffixes = (".jsonl",)

    def __init__(self, options: ImportOptions) -> None:
        self._zone = options.zone

    def roots(self, machine: Machine) -> Sequence[Path]:
        """The `projects` directories below `CLAUDE_CONFIG_DIR` (several, with commas), else in both usual places."""
        named = [part.strip() for part in machine.environ.get("CLAUDE_CONFIG_DIR", "").split(",") if part.strip()]
        if not named:
            settings = machine.environ.get("XDG_CONFIG_HOME") or str(machine.home / ".config")
            named = [str(Path(settings) / "claude"), str(machine.home / ".claude")]
        places = [machine.home / name.removeprefix("~/") for name in named]
        return [place if place.name == "projects" else place / "projects" for place in places]

    def parser(self, path: Path, state: Mapping[str, Any], memory: Memory) -> LineParser:
        return _Parser(state, memory)


class _Parser(LineParser):
    def __init__(self, state: Mapping[str, Any], memory: Memory) -> None:
        self._memory = memory
        self._moments: OrderedDict[str, int] = OrderedDict(state.get("moments", {}))
        """Line id → when it was written."""
        self._turns: OrderedDict[str, str] = OrderedDict(state.get("turns", {}))
        """Chain (the main one, or a subagent's) → the prompt it is working on."""
        self._responses: OrderedDict[str, Response] = OrderedDict(
            (saved["operation_id"], Response(**saved)) for saved in state.get("responses", ())
        )
        self._tools: OrderedDict[str, dict[str, Any]] = OrderedDict(state.get("tools", {}))
        """Tool calls without a result yet."""
        self._done: list[Operation] = []

    def feed(self, raw: bytes) -> bool:
        record = fields.json_object(raw, exact=False)
        kind = record.get("type")
        if kind == "assistant":
            taken = self._assistant(record)
        elif kind == "user":
            taken = self._user(record)
        else:
            taken = False
        self._note_moment(record)
        return taken

    def drain(self) -> list[Operation]:
        done, self._done = self._done, []
        return done

    def finish(self) -> list[Operation]:
        self._close()
        return self.drain()

    def save(self) -> dict[str, Any]:
        return {
            "moments": dict(self._moments),
            "turns": dict(self._turns),
            "responses": [response.save() for response in self._responses.values()],
            "tools": dict(self._tools),
        }

    # --- lines -------------------------------------------------------------------------------------------------

    def _assistant(self, record: Mapping[str, Any]) -> bool:
        message = fields.nested(record, "message")
        if record.get("isApiErrorMessage") is True:
            self._done.append(self._error(record, message))
            return True
        model = fields.text(message, "model")
        if model is None or model == SYNTHETIC:
            return False
        line = self._line(record, message, model)
        operation_id, started_at, replay = self._identity(line, self._parent_moment(record))
        known = self._responses.get(operation_id)
        if known is None:
            self._close(self._chain(record))
            parent_known = started_at < line.at
            known = self._responses[operation_id] = Response.begun(line, operation_id, started_at, parent_known)
            if len(self._responses) > KEPT_RESPONSES:
                _, oldest = self._responses.popitem(last=False)
                if oldest.dirty:
                    self._done.append(oldest.operation())
            new = True
        else:
            known.add(line)
            new = False
        if not replay:
            self._open_tools(message, line, operation_id)
        return new

    def _user(self, record: Mapping[str, Any]) -> bool:
        content = fields.nested(record, "message").get("content")
        results = [block for block in _blocks(content) if block.get("type") == "tool_result"]
        if not results and record.get("isMeta") is not True and content:
            self._turn_begins(record)
        ended = [self._tool_result(record, block) for block in results]
        return any(ended)

    def _line(self, record: Mapping[str, Any], message: Mapping[str, Any], model: str) -> Line:
        return Line(
            message_id=fields.text(message, "id"),
            request_id=fields.text(record, "requestId"),
            line_id=fields.text(record, "uuid") or derived_id(fields.canonical(record)),
            at=fields.time_us(record.get("timestamp"), "timestamp", None),
            sidechain=record.get("isSidechain") is True,
            model=model,
            usage=read_usage(message),
            cost=fields.money(record.get("costUSD"), "costUSD"),
            stop_reason=fields.text(message, "stop_reason"),
            context=self._context(record),
        )

    def _context(self, record: Mapping[str, Any]) -> Context:
        session = fields.text(record, "sessionId")
        cwd = fields.text(record, "cwd")
        project = _PATH_END.search(cwd) if cwd else None
        # A subagent in the session's own file works on the session's prompt.
        turn = self._turns.get("main") or self._turns.get(self._chain(record)) or ""
        return Context(
            session=session,
            project=project.group() if project else None,
            cwd=cwd,
            version=fields.text(record, "version"),
            branch=fields.text(record, "gitBranch"),
            agent=fields.text(record, "agentId"),
            trace=derived_id(SOURCE, "turn", session or "", turn),
        )

    # --- responses ---------------------------------------------------------------------------------------------

    def _identity(self, line: Line, parent_at: int | None) -> tuple[str, int, bool]:
        """The operation a line belongs to, when it started, and whether the line replays another chain's response.

        The memory holds for every message id its requests: [request, started_at, outside a sidechain, aliases…].
        """
        started_at = parent_at if parent_at is not None and parent_at < line.at else line.at
        if line.message_id is None:
            return derived_id(SOURCE, "line", line.line_id), started_at, False
        request = line.request_id or ""
        remembered = self._memory.recall(line.message_id)
        entries: list[list[Any]] = [] if remembered is None else json.loads(remembered)
        entry = next((entry for entry in entries if request in (entry[0], *entry[3:])), None)
        if entry is None:
            # A sidechain repeats its parent's messages under request ids of its own.
            entry = next((entry for entry in entries if entry[2] == line.sidechain), None)
            if entry is None:
                entry = cast(list[Any], [request, started_at, not line.sidechain])
                entries.append(entry)
            else:
                entry.append(request)
        if not line.sidechain:
            entry[2] = True
        changed = json.dumps(entries, separators=(",", ":"))
        if changed != remembered:
            self._memory.remember(line.message_id, changed)
        return response_id(line.message_id, entry[0]), entry[1], request != entry[0]

    def _close(self, chain: str | None = None) -> None:
        """Give out what is known of the responses that another line (of their chain) has ended."""
        for response in self._responses.values():
            if response.dirty and chain in (None, self._chain_of(response)):
                response.dirty = False
                self._done.append(response.operation())

    def _error(self, record: Mapping[str, Any], message: Mapping[str, Any]) -> Operation:
        """A request that failed for good. Claude Code writes no model or usage for it, so its cost is unknown."""
        at = fields.time_us(record.get("timestamp"), "timestamp", None)
        context = self._context(record)
        said = _text_of(message.get("content"))
        status = fields.http_status(record.get("apiErrorStatus"), "apiErrorStatus")
        found = _API_STATUS.search(said)
        parent_at = self._parent_moment(record)
        started_at = parent_at if parent_at is not None and parent_at < at else at
        line_id = fields.text(record, "uuid") or derived_id(fields.canonical(record))
        operation_id = derived_id(SOURCE, "error", line_id)
        return Operation(
            operation_id=operation_id,
            kind="llm",
            name="llm_request",
            started_at=started_at,
            duration_ms=fields.span_ms(started_at, at),
            status="error",
            trace_id=context.trace,
            span_id=operation_id[:16],
            error_type=_error_type(record.get("error"), said),
            http_status=status or fields.http_status(int(found[1]) if found else None, "status"),
            service=SOURCE,
            project=context.project,
            client="terminal",
            session_id=context.session,
            feature="subagent" if record.get("isSidechain") is True else "main",
            provider=provider_of(None, "claude"),
            outcome="failed",
            door="importer",
            source=SOURCE,
            attributes=fields.attributes(**context.attributes()),
        )

    # --- tools -------------------------------------------------------------------------------------------------

    def _open_tools(self, message: Mapping[str, Any], line: Line, operation_id: str) -> None:
        for block in _blocks(message.get("content")):
            if block.get("type") != "tool_use" or not isinstance(block.get("id"), str):
                continue
            self._tools[block["id"]] = {
                "name": block.get("name") if isinstance(block.get("name"), str) else "tool",
                "at": line.at,
                "parent": operation_id,
                "sidechain": line.sidechain,
                "context": list(line.context),
                "fingerprints": self._fingerprints_of(block.get("input")),
            }
            if len(self._tools) > KEPT_TOOLS:
                self._tools.popitem(last=False)

    def _fingerprints_of(self, arguments: object) -> dict[str, Any]:
        """What stays of a tool's arguments, and of the lines it writes with them."""
        prints = self._memory.fingerprints
        written = [text for text in _written(arguments) if isinstance(text, str)]
        found = {FINGERPRINT_OF_ARGUMENTS: prints.of_text(arguments), FINGERPRINTS_OF_LINES: prints.of_lines(written)}
        return {name: value for name, value in found.items() if value}

    def _tool_result(self, record: Mapping[str, Any], block: Mapping[str, Any]) -> bool:
        call_id = block.get("tool_use_id")
        if not isinstance(call_id, str) or call_id not in self._tools:
            return False
        at = fields.time_us(record.get("timestamp"), "timestamp", None)
        call = self._tools.pop(call_id)
        context = Context(*call["context"])
        operation_id = derived_id(SOURCE, "tool", call_id)
        failed = block.get("is_error") is True
        refused = failed and _text_of(block.get("content")).startswith(_REFUSED)
        self._done.append(
            Operation(
                operation_id=operation_id,
                kind="tool",
                name=fields.clean_text(call["name"]),
                started_at=call["at"],
                duration_ms=fields.span_ms(call["at"], at),
                status="cancelled" if refused else "error" if failed else "ok",
                trace_id=context.trace,
                span_id=operation_id[:16],
                parent_span_id=call["parent"][:16],
                error_type="refused_by_user" if refused else "tool_error" if failed else None,
                service=SOURCE,
                project=context.project,
                client="terminal",
                session_id=context.session,
                feature="subagent" if call["sidechain"] else "main",
                outcome="rejected" if refused else "failed" if failed else "unknown",
                door="importer",
                source=SOURCE,
                attributes=fields.attributes(
                    duration_source="call to result; waiting for permission included",
                    **context.attributes(),
                    **call.get("fingerprints", {}),
                    **{FINGERPRINT_OF_RESULT: self._memory.fingerprints.of_text(block.get("content"))},
                ),
            )
        )
        return True

    # --- chains and times --------------------------------------------------------------------------------------

    def _chain(self, record: Mapping[str, Any]) -> str:
        if record.get("isSidechain") is not True:
            return "main"
        agent = record.get("agentId")
        return agent if isinstance(agent, str) else "sidechain"

    def _chain_of(self, response: Response) -> str:
        context = Context(*response.best["context"])
        return (context.agent or "sidechain") if response.best["sidechain"] else "main"

    def _turn_begins(self, record: Mapping[str, Any]) -> None:
        turn = record.get("promptId") or record.get("uuid")
        if isinstance(turn, str):
            self._turns[self._chain(record)] = fields.clean_text(turn)
            if len(self._turns) > KEPT_CHAINS:
                self._turns.popitem(last=False)

    def _parent_moment(self, record: Mapping[str, Any]) -> int | None:
        parent = record.get("parentUuid")
        return self._moments.get(parent) if isinstance(parent, str) else None

    def _note_moment(self, record: Mapping[str, Any]) -> None:
        """Remember when the line was written, for the response that answers it."""
        line_id, timestamp = record.get("uuid"), record.get("timestamp")
        if not isinstance(line_id, str) or not isinstance(timestamp, str):
            return
        try:
            self._moments[fields.clean_text(line_id)] = fields.time_us(timestamp, "timestamp", None)
        except InvalidOperation:
            return
        if len(self._moments) > KEPT_MOMENTS:
            self._moments.popitem(last=False)


def _blocks(content: object) -> list[dict[str, Any]]:
    """The blocks of a message's content; a plain text has none."""
    if not isinstance(content, list):
        return []
    return [cast(dict[str, Any], block) for block in cast(list[Any], content) if isinstance(block, dict)]


def _written(arguments: object) -> Iterator[object]:
    """The texts an editing tool puts into a file."""
    if not isinstance(arguments, dict):
        return
    given = cast(dict[str, Any], arguments)
    yield from (given.get(name) for name in ("content", "new_string", "new_source"))
    yield from (edit.get("new_string") for edit in _blocks(given.get("edits")))


def _text_of(content: object) -> str:
    """The beginning of the first text of a message, to find a kind of error in; it is not kept."""
    if isinstance(content, str):
        return content[:2000]
    texts = (block.get("text") for block in _blocks(content))
    return next((text[:2000] for text in texts if isinstance(text, str)), "")


def _error_type(named: object, said: str) -> str:
    """What went wrong: as Claude Code names it, as the provider's answer names it, or from the text."""
    if isinstance(named, str) and named and named != "unknown":
        return fields.clean_text(named)
    quoted = _API_TYPE.search(said)
    if quoted:
        return quoted[1]
    lowered = said.lower()
    return next((name for part, name in _ERRORS if part in lowered), "api_error")
