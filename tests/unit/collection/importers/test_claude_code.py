"""What the lines of a Claude Code transcript become."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.collection.importers.base import ImportOptions, Machine, NoMemory, Position
from ralex_core.collection.importers.claude_code import ClaudeCodeImporter
from ralex_core.collection.importers.runner import SINGLE_LOOKUPS
from ralex_core.model.operation import Operation
from tests.support.importing import Bench, read_all, read_growing, write_lines
from tests.support.intake import MemoryIntake

IMPORTER = ClaudeCodeImporter(ImportOptions())
T0 = 1_767_225_600
SECRET = "the text nobody may store"


def stamp(at: float) -> str:
    return datetime.fromtimestamp(T0 + at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def us(at: float) -> int:
    return round((T0 + at) * 1_000_000)


def line(kind: str, at: float, uuid: str, parent: str | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": uuid,
        "parentUuid": parent,
        "timestamp": stamp(at),
        "sessionId": "session-1",
        "isSidechain": False,
        "cwd": "/home/ann/code/shop",
        "version": "2.1.12",
        "gitBranch": "main",
        **changes,
    }


def prompt(at: float, uuid: str = "p1", **changes: Any) -> dict[str, Any]:
    return line("user", at, uuid, message={"role": "user", "content": SECRET}, **changes)


def answer(
    at: float,
    uuid: str,
    parent: str | None,
    *,
    message_id: str | None = "msg_1",
    request_id: str | None = "req_1",
    model: str = "claude-sonnet-4-5-20250929",
    usage: dict[str, Any] | None = None,
    output: int = 50,
    content: list[dict[str, Any]] | None = None,
    stop_reason: str | None = None,
    **changes: Any,
) -> dict[str, Any]:
    message = {
        "id": message_id,
        "model": model,
        "content": content or [{"type": "text", "text": SECRET}],
        "stop_reason": stop_reason,
        "usage": {"input_tokens": 10, "output_tokens": output} if usage is None else usage,
    }
    return line("assistant", at, uuid, parent, requestId=request_id, message=message, **changes)


def call(call_id: str, name: str = "Bash") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {"command": SECRET}}


def result(at: float, uuid: str, parent: str, call_id: str, **changes: Any) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": call_id, "content": SECRET, **changes}
    return line("user", at, uuid, parent, message={"role": "user", "content": [block]}, toolUseResult=SECRET)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "session-1.jsonl"


def stored(path: Path) -> MemoryIntake:
    """What the store holds after the file is read once."""
    intake = MemoryIntake()
    operations, rejects = read_all(IMPORTER, path)
    assert rejects == []
    intake.submit(operations)
    return intake


def read(log: Path, *records: dict[str, Any]) -> list[Operation]:
    intake = stored(write_lines(log, records))
    return sorted(intake.stored.values(), key=lambda operation: (operation.started_at, operation.kind))


def attributes(operation: Operation) -> dict[str, Any]:
    return json.loads(operation.attributes or "{}")


# --- responses ---------------------------------------------------------------


def test_a_response_is_an_llm_operation_with_cache_inside_its_input(log: Path) -> None:
    usage = {
        "input_tokens": 10,
        "output_tokens": 50,
        "cache_creation_input_tokens": 300,
        "cache_read_input_tokens": 2000,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "service_tier": "standard",
        "speed": "fast",
        "server_tool_use": {"web_search_requests": 2},
    }
    (operation,) = read(log, prompt(0), answer(4, "a1", "p1", usage=usage, stop_reason="end_turn"))
    assert (operation.kind, operation.name, operation.provider) == ("llm", "llm_request", "anthropic")
    assert operation.model == operation.requested_model == "claude-sonnet-4-5-20250929"
    assert (operation.input_tokens, operation.output_tokens) == (2310, 50)
    assert (operation.cache_read_tokens, operation.cache_write_tokens) == (2000, 300)
    assert (operation.cache_write_1h_tokens, operation.service_tier) == (200, "standard")
    assert (operation.project, operation.session_id, operation.client) == ("shop", "session-1", "terminal")
    assert (operation.provider_request_id, operation.reported_usd) == ("req_1", None)
    assert (operation.door, operation.source, operation.feature) == ("importer", "claude-code", "main")
    assert attributes(operation) == {
        "message_id": "msg_1",
        "stop_reason": "end_turn",
        "speed": "fast",
        "web_searches": 2,
        "duration_source": "previous line to last line of the response",
        "cwd": "/home/ann/code/shop",
        "git_branch": "main",
        "client_version": "2.1.12",
    }


def test_a_breakdown_of_cache_writes_counts_before_their_total(log: Path) -> None:
    usage = {
        "input_tokens": 1,
        "output_tokens": 1,
        "cache_creation_input_tokens": 5,
        "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 10},
    }
    (operation,) = read(log, answer(0, "a1", None, usage=usage))
    assert (operation.input_tokens, operation.cache_write_tokens) == (41, 40)


def test_usage_that_is_missing_is_unknown(log: Path) -> None:
    (operation,) = read(log, answer(0, "a1", None, usage={}))
    assert (operation.input_tokens, operation.output_tokens) == (None, None)


def test_the_lines_of_one_response_are_one_operation_with_its_fullest_usage(log: Path) -> None:
    (operation,) = read(
        log,
        prompt(0),
        answer(2, "a1", "p1", output=1),
        answer(5, "a2", "a1", output=80),
        answer(7.5, "a3", "a2", output=80, stop_reason="end_turn"),
    )
    assert operation.output_tokens == 80
    assert operation.started_at == us(0)
    assert operation.duration_ms == 7500
    assert attributes(operation)["stop_reason"] == "end_turn"


def test_a_response_whose_question_is_not_in_the_file_took_an_unknown_time(log: Path) -> None:
    (operation,) = read(log, answer(2, "a1", "elsewhere"), answer(3, "a2", "a1"))
    assert (operation.started_at, operation.duration_ms) == (us(2), None)
    assert "duration_source" not in attributes(operation)


def test_of_equal_totals_the_line_that_names_its_speed_counts(log: Path) -> None:
    plain = {"input_tokens": 10, "output_tokens": 5}
    (operation,) = read(
        log,
        answer(1, "a1", None, usage=plain),
        answer(2, "a2", "a1", usage=plain | {"speed": "fast"}),
        answer(3, "a3", "a2", usage=plain),
    )
    assert attributes(operation)["speed"] == "fast"


def test_two_requests_of_one_message_id_are_two_operations(log: Path) -> None:
    operations = read(log, answer(1, "a1", None), answer(2, "a2", "a1", request_id="req_2"))
    assert len(operations) == 2


def test_lines_without_a_message_id_stand_for_themselves(log: Path) -> None:
    operations = read(log, answer(1, "a1", None, message_id=None), answer(2, "a2", "a1", message_id=None))
    assert len(operations) == 2


def test_a_copied_transcript_changes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    records = [prompt(0), answer(2, "a1", "p1", content=[call("t1")]), result(3, "r1", "a1", "t1")]
    bench.run(IMPORTER, write_lines(tmp_path / "one.jsonl", records))
    before = dict(bench.intake.stored)
    copied = [record | {"sessionId": "session-2"} for record in records]
    report = bench.run(IMPORTER, write_lines(tmp_path / "two.jsonl", copied))
    assert bench.intake.stored == before
    assert (report.imported, report.updated, report.duplicates) == (0, 0, 2)


@pytest.mark.parametrize("replay_first", [False, True])
def test_a_sidechain_replay_is_the_message_it_repeats_and_the_original_wins(tmp_path: Path, replay_first: bool) -> None:
    bench = Bench(tmp_path)
    original = write_lines(tmp_path / "main.jsonl", [prompt(0), answer(2, "a1", "p1", output=50)])
    replay = write_lines(
        tmp_path / "side.jsonl",
        [
            answer(9, "s1", None, request_id="req_9", output=900, isSidechain=True, content=[call("t1")]),
            result(10, "s2", "s1", "t1"),
        ],
    )
    for path in (replay, original) if replay_first else (original, replay):
        bench.run(IMPORTER, path)
    (operation,) = bench.intake.of_kind("llm")
    assert (operation.output_tokens, operation.feature) == (50, "main")
    if not replay_first:
        assert bench.intake.of_kind("tool") == []


def test_hundreds_of_replayed_messages_are_recognised_in_a_later_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for name, sidechain in (("main", False), ("side", True)):
        lines = [
            answer(n, f"{name}{n}", None, message_id=f"msg_{n}", request_id=f"{name}_{n}", isSidechain=sidechain)
            for n in range(SINGLE_LOOKUPS + 50)
        ]
        report = bench.run(IMPORTER, write_lines(tmp_path / f"{name}.jsonl", lines))
    assert (report.imported, report.duplicates) == (0, SINGLE_LOOKUPS + 50)


def test_an_original_in_several_lines_stays_one_operation_after_its_replay(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run(
        IMPORTER,
        write_lines(tmp_path / "side.jsonl", [answer(9, "s1", None, request_id="req_9", isSidechain=True)]),
    )
    lines = [prompt(0), answer(2, "a1", "p1", output=1), answer(3, "a2", "a1", output=60)]
    bench.run(IMPORTER, write_lines(tmp_path / "main.jsonl", lines))
    (operation,) = bench.intake.of_kind("llm")
    assert operation.output_tokens == 60


def test_subagents_with_message_ids_of_their_own_are_operations_of_their_own(log: Path) -> None:
    operations = read(
        log,
        prompt(0),
        answer(2, "a1", "p1", content=[call("t1", "Task")]),
        answer(3, "s1", None, message_id="msg_s", request_id="req_s", isSidechain=True, agentId="ag1"),
    )
    assert [operation.feature for operation in operations] == ["main", "subagent"]
    assert operations[0].trace_id == operations[1].trace_id
    assert attributes(operations[1])["agent_id"] == "ag1"


def test_what_claude_code_wrote_itself_is_no_response(log: Path) -> None:
    assert read(log, prompt(0), answer(1, "a1", "p1", model="<synthetic>")) == []


def test_a_reported_cost_is_a_claim_and_zero_is_none(log: Path) -> None:
    paid, free = read(
        log,
        answer(1, "a1", None, costUSD=0.0123),
        answer(2, "a2", "a1", message_id="msg_2", costUSD=0),
    )
    assert (paid.reported_usd, free.reported_usd) == (Decimal("0.0123"), None)


@pytest.mark.parametrize(
    ("message_id", "model", "provider"),
    [
        ("msg_01", "claude-opus-4-5", "anthropic"),
        ("msg_bdrk_01", "claude-opus-4-5", "aws"),
        ("msg_vrtx_01", "claude-opus-4-5", "google"),
        ("chatcmpl-1", "glm-4.6", None),
    ],
)
def test_the_provider_is_told_by_the_message_id(log: Path, message_id: str, model: str, provider: str | None) -> None:
    (operation,) = read(log, answer(1, "a1", None, message_id=message_id, model=model))
    assert operation.provider == provider


# --- turns, tools, errors ----------------------------------------------------


def test_a_prompt_and_everything_done_for_it_are_one_trace(log: Path) -> None:
    operations = read(
        log,
        prompt(0),
        answer(2, "a1", "p1", content=[call("t1")]),
        result(4, "r1", "a1", "t1"),
        answer(6, "a2", "r1", message_id="msg_2", request_id="req_2"),
        prompt(60, "p2", parentUuid="a2"),
        answer(63, "a3", "p2", message_id="msg_3", request_id="req_3"),
    )
    first, tool, second, third = operations
    assert first.trace_id == tool.trace_id == second.trace_id != third.trace_id
    assert tool.parent_span_id == first.span_id
    assert (second.started_at, second.duration_ms) == (us(4), 2000)


def test_a_tool_call_and_its_result_are_a_tool_operation(log: Path) -> None:
    operations = read(
        log, prompt(0), answer(2, "a1", "p1", content=[call("t1", "Read")]), result(4.5, "r1", "a1", "t1")
    )
    (tool,) = [operation for operation in operations if operation.kind == "tool"]
    assert (tool.name, tool.status, tool.started_at, tool.duration_ms) == ("Read", "ok", us(2), 2500)
    assert (tool.project, tool.session_id) == ("shop", "session-1")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"is_error": True}, ("error", "tool_error", "failed")),
        (
            {"is_error": True, "content": "The user doesn't want to proceed with this tool use. Stop."},
            ("cancelled", "refused_by_user", "rejected"),
        ),
        (
            {"is_error": True, "content": [{"type": "text", "text": "[Request interrupted by user for tool use]"}]},
            ("cancelled", "refused_by_user", "rejected"),
        ),
        ({"is_error": False}, ("ok", None, "unknown")),
    ],
)
def test_how_a_tool_call_ended(log: Path, changes: dict[str, Any], expected: tuple[str, str | None, str]) -> None:
    operations = read(log, answer(2, "a1", None, content=[call("t1")]), result(4, "r1", "a1", "t1", **changes))
    (tool,) = [operation for operation in operations if operation.kind == "tool"]
    assert (tool.status, tool.error_type, tool.outcome) == expected


def test_a_tool_call_without_a_result_is_not_finished_and_not_stored(log: Path) -> None:
    operations = read(log, answer(2, "a1", None, content=[call("t1")]))
    assert [operation.kind for operation in operations] == ["llm"]


@pytest.mark.parametrize(
    ("said", "fields", "expected"),
    [
        (
            "Please run /login",
            {"error": "authentication_failed", "apiErrorStatus": 401},
            ("authentication_failed", 401),
        ),
        ('API Error: 529 {"type":"error","error":{"type":"overloaded_error"}}', {}, ("overloaded_error", 529)),
        ("Claude AI usage limit reached|1767225600", {}, ("usage_limit", None)),
        ("Prompt is too long", {}, ("prompt_too_long", None)),
        ("API Error (Request timed out.)", {"error": {"status": 1}}, ("timeout", None)),
        ("Something new", {"error": "unknown"}, ("api_error", None)),
    ],
)
def test_an_api_error_is_a_failed_llm_operation_of_unknown_cost(
    log: Path, said: str, fields: dict[str, Any], expected: tuple[str, int | None]
) -> None:
    content = [{"type": "text", "text": said}]
    failed = answer(3, "a1", "p1", model="<synthetic>", content=content, isApiErrorMessage=True, **fields)
    (operation,) = read(log, prompt(0), failed)
    assert (operation.kind, operation.status, operation.outcome) == ("llm", "error", "failed")
    assert (operation.error_type, operation.http_status) == expected
    assert (operation.input_tokens, operation.reported_usd, operation.model) == (None, None, None)
    assert (operation.started_at, operation.duration_ms) == (us(0), 3000)


def test_nothing_that_was_typed_or_answered_is_kept_in_operations_or_state(log: Path) -> None:
    write_lines(
        log,
        [
            prompt(0),
            answer(2, "a1", "p1", content=[call("t1"), {"type": "text", "text": SECRET}]),
            result(3, "r1", "a1", "t1"),
            answer(4, "a2", "r1", message_id="msg_2", content=[call("t2")]),
        ],
    )
    for chunk in IMPORTER.read(log, Position(), final=True, memory=NoMemory()):
        assert SECRET not in repr(chunk.operations)
        assert SECRET not in chunk.position.as_json()


def test_other_lines_are_context(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    log = write_lines(
        tmp_path / "log.jsonl",
        [
            {"type": "summary", "summary": SECRET, "leafUuid": "x"},
            {"type": "file-history-snapshot", "snapshot": {}},
            line("system", 1, "s1", subtype="turn_duration"),
            {"type": 5},
            {},
            "",
        ],
    )
    report = bench.run(IMPORTER, log)
    assert (report.read, report.merged, report.imported, report.rejected) == (6, 6, 0, 0)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"type": "assistant", ', "not valid JSON"),
        (json.dumps(answer(1, "b", None, usage={"input_tokens": "ten"})), "input_tokens must be a whole number"),
        (json.dumps(answer(1, "b", None) | {"timestamp": "yesterday"}), "timestamp is not a time"),
        (json.dumps(answer(1, "b", None) | {"timestamp": None}), "timestamp is missing"),
        (json.dumps(answer(1, "b", None) | {"message": 7}), "message must be an object"),
        (json.dumps(answer(1, "b", None, costUSD=-1)), "costUSD: cost must not be negative"),
    ],
)
def test_a_bad_line_is_rejected_and_the_rest_is_read(log: Path, bad: str, reason: str) -> None:
    good = answer(1, "a1", None), answer(2, "a2", None, message_id="msg_2", request_id="req_2")
    operations, rejects = read_all(IMPORTER, write_lines(log, [good[0], bad, good[1]]))
    assert len(operations) == 2
    assert [(item.line, reason in item.reason) for item in rejects] == [(2, True)]


# --- growing files -----------------------------------------------------------


def test_while_a_log_is_followed_an_unfinished_response_waits(log: Path) -> None:
    write_lines(log, [prompt(0), answer(2, "a1", "p1", output=1)])
    (chunk,) = IMPORTER.read(log, Position(), final=False, memory=NoMemory())
    assert chunk.operations == []
    with log.open("a") as file:
        file.write(json.dumps(answer(3, "a2", "a1", output=70)) + "\n")
        file.write(json.dumps(answer(9, "a3", "a2", message_id="msg_2", request_id="req_2")) + "\n")
    (chunk,) = IMPORTER.read(log, chunk.position, final=False, memory=NoMemory())
    assert [operation.output_tokens for operation in chunk.operations] == [70]


_MESSAGE = st.tuples(st.sampled_from("ABC"), st.sampled_from(["r1", "r2"]), st.booleans())


def told(story: list[tuple[str, tuple[str, str, bool], int]]) -> list[dict[str, Any]]:
    """A transcript of random lines: prompts, lines of responses in any order, tool results, errors."""
    records: list[dict[str, Any]] = []
    parent: str | None = None
    for number, (kind, (name, request, sidechain), output) in enumerate(story):
        uuid = f"u{number}"
        common = {"isSidechain": sidechain, "agentId": "ag" if sidechain else None}
        if kind == "prompt":
            records.append(prompt(number, uuid, **common))
        elif kind == "result":
            records.append(result(number, uuid, parent or "", f"tool-{name}"))
        else:
            content = [call(f"tool-{name}")] if kind == "call" else None
            records.append(
                answer(
                    number,
                    uuid,
                    parent,
                    message_id=f"msg_{name}",
                    request_id=request,
                    output=output,
                    content=content,
                    isApiErrorMessage=kind == "error",
                    **common,
                )
            )
        parent = uuid
    return records


@settings(max_examples=150, deadline=None)
@given(
    story=st.lists(
        st.tuples(
            st.sampled_from(["prompt", "answer", "answer", "answer", "call", "result", "error"]),
            _MESSAGE,
            st.integers(0, 3),
        ),
        max_size=25,
    ),
    data=st.data(),
)
def test_a_transcript_read_in_pieces_gives_the_same_operations_as_one_read_whole(
    tmp_path_factory: pytest.TempPathFactory,
    story: list[tuple[str, tuple[str, str, bool], int]],
    data: st.DataObject,
) -> None:
    directory = tmp_path_factory.mktemp("claude")
    whole = write_lines(directory / "whole.jsonl", told(story))
    content = whole.read_bytes()
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=6))
    intake = read_growing(IMPORTER, directory / "growing.jsonl", content, cuts)
    assert intake.stored == stored(whole).stored


KEYS = (
    *("message", "timestamp", "uuid", "parentUuid", "sessionId", "requestId", "promptId", "agentId", "cwd"),
    *("costUSD", "isSidechain", "isApiErrorMessage", "error", "apiErrorStatus"),
)

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(["assistant", "user"]),
    changes=st.dictionaries(st.sampled_from(KEYS), _JSON),
    inner=st.dictionaries(st.sampled_from(["id", "model", "content", "usage", "stop_reason"]), _JSON),
)
def test_any_json_is_read_or_rejected_but_never_stops_the_import(
    tmp_path_factory: pytest.TempPathFactory, kind: str, changes: dict[str, Any], inner: dict[str, Any]
) -> None:
    record = answer(1, "a1", "p1") | {"type": kind}
    record["message"] = record["message"] | inner
    path = tmp_path_factory.mktemp("claude") / "log.jsonl"
    good = answer(9, "z", None, message_id="msg_z", request_id="req_z")
    operations, rejects = read_all(IMPORTER, write_lines(path, [prompt(0), record | changes, good]))
    assert len(rejects) <= 1
    assert any(operation.started_at == us(9) for operation in operations)


def test_transcripts_are_looked_for_where_claude_code_is_told_to_keep_them(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert list(IMPORTER.roots(Machine(home, {}, tmp_path))) == [
        home / ".config" / "claude" / "projects",
        home / ".claude" / "projects",
    ]
    machine = Machine(home, {"CLAUDE_CONFIG_DIR": "/data/a, ~/b"}, tmp_path)
    assert list(IMPORTER.roots(machine)) == [Path("/data/a/projects"), home / "b" / "projects"]
