"""Text and credentials sent through every source, field and nesting are in no column, file, log or page afterwards."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
from google.protobuf.json_format import MessageToJson

from tests.support.logs import claude, codex, gemini, logs_request
from tests.support.model_server import Whole, chat, model_server
from tests.support.server import CLI, Server, environment
from tests.support.spans import json_bytes, make_request, make_span
from tests.unit.collection.test_litellm_log import PAYLOAD

pytestmark = pytest.mark.process

WORD = "Quxmarker"
PROSE = f"please fix the {WORD} login, it says «no» again"
KEY = f"sk-ant-api03-{WORD}abcdefghijklmnop"
NOW_US = time.time_ns() // 1000
HERE_NS = NOW_US * 1000 - 5_000_000_000

CONTENT = [
    *("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.prompt.0.content", "gen_ai.completion.0.content"),
    *("gen_ai.system_instructions", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "gen_ai.event.content"),
    *("mlflow.spanInputs", "mlflow.spanOutputs", "lk.chat_ctx", "lk.user_transcript", "tool_arguments", "tool_input"),
    *(
        "tool_response",
        "tool_parameters",
        "events",
        "request.body",
        "response.body",
        "assistant_response",
        "user_prompt",
    ),
    *("exception.message", "exception.stacktrace", "status.message", "error.message", "traceloop.entity.input"),
    *("traceloop.entity.output", "ai.prompt.messages", "ai.response.text", "ai.toolCall.args", "ai.toolCall.result"),
    *("langfuse.observation.input", "langfuse.trace.output", "input.value", "output.value", "input", "output"),
    *("content", "prompt", "messages", "query", "text", "db.query.text", "db.statement", "url.full", "bash_command"),
    *("logfire.msg", "metadata", "notes", "any.thing", "http.request.header.user-agent"),
]
IDENTIFIERS = {"any.thing", "http.request.header.user-agent"}
"""Names under which a single word is stored, as an identifier."""
SECRET_NAMES = ["http.request.header.authorization", "token", "auth_token", "private_key", "dsn", "api_key", "cookie"]


def shapes(text: str) -> Iterator[Any]:
    """A text in every shape a value may have."""
    yield text
    yield [text]
    yield {"inner": text, "content": text}
    yield [{"role": "user", "parts": [{"text": text, "n": 1}]}]
    yield json.dumps([{"role": "user", "content": text}])


def attributes() -> Iterator[dict[str, Any]]:
    """Attributes, one after the other, that hold the marker as text, as one word, as a name or as a credential."""
    for key in CONTENT:
        for value in shapes(PROSE):
            yield {key: value}
        if key not in IDENTIFIERS:
            yield {key: WORD}
    for key in SECRET_NAMES:
        for value in shapes(WORD):
            yield {key: value}
    for value in shapes(KEY):
        yield {"my.own": value}
    for value in shapes(PROSE):
        yield {"my.own": value}
    yield {PROSE: 1}
    yield {"outer": {PROSE: {PROSE: 1}}}


def flat(value: Any) -> Any:
    """A value as OTLP has it: what JSON nests in ways it has not becomes text."""
    return (
        value
        if isinstance(value, str) or (isinstance(value, list) and all(isinstance(v, str) for v in value))
        else json.dumps(value)
    )


def send_native(server: Server) -> int:
    base = {"kind": "task", "name": "step", "started_at": NOW_US}
    operations: list[dict[str, Any]] = [
        {**base, "operation_id": f"native-{n}", "attributes": found} for n, found in enumerate(attributes())
    ]
    for n, field in enumerate(("name", "user_id", "session_id", "trace_id", "project", "model", "workflow", "feature")):
        operations.append({**base, "operation_id": f"field-{n}", field: f"x {KEY}"})
    operations.append({**base, "operation_id": KEY})
    operations.append({**base, "operation_id": "native-error", "status": "error", "error_type": PROSE})
    answer = server.send(operations)
    assert answer.status == 200, answer
    assert answer.json()["data"]["accepted"] == len(operations), answer
    return len(operations)


def send_spans(server: Server, content_type: str) -> int:
    which = 1 if content_type.endswith("json") else 2
    spans = [
        make_span(
            "chat",
            {key: flat(value) for key, value in found.items()},
            trace_id=which.to_bytes(16, "big"),
            span_id=(1000 * which + n).to_bytes(8, "big"),
            start_ns=HERE_NS,
            status=2,
            message=PROSE,
            events=[
                ("exception", 1.0, {"exception.message": PROSE, "exception.type": PROSE}),
                (PROSE, 2.0, found_events()),
            ],
        )
        for n, found in enumerate(attributes())
    ]
    request = make_request(*spans, resource={"service.name": "agent", "user_prompt": PROSE, "deployment.note": PROSE})
    body = json_bytes(request) if which == 1 else request.SerializeToString()
    answer = server.request("POST", "/v1/traces", body, {"Content-Type": content_type})
    assert (answer.status, b"partialSuccess" in answer.body) == (200, False), answer
    return len(spans)


def found_events() -> dict[str, Any]:
    return {"gen_ai.prompt": PROSE, "content": PROSE}


def send_logs(server: Server) -> None:
    loose = {
        "prompt": PROSE,
        "error": PROSE,
        "tool_input": PROSE,
        "tool_parameters": PROSE,
        "function_args": PROSE,
        "output": PROSE,
    }
    records = [
        make(event, {**loose, **more}, at_ns=HERE_NS)
        for make, event, more in (
            (claude, "user_prompt", {"prompt_length": 3}),
            (claude, "tool_result", {"tool_name": "Bash", "tool_use_id": "t", "success": "false", "error_type": PROSE}),
            (claude, "api_error", {"request_id": "r", "status_code": "529", "model": "m"}),
            (codex, "tool_result", {"tool_name": "shell", "call_id": "c", "arguments": PROSE}),
            (gemini, "tool_call", {"function_name": "run", "success": False}),
        )
    ]
    request = logs_request(*records, resource={"note": PROSE})
    for body, kind in (
        (request.SerializeToString(), "application/x-protobuf"),
        (MessageToJson(request).encode(), "application/json"),
    ):
        answer = server.request("POST", "/v1/logs", body, {"Content-Type": kind})
        assert answer.status == 200, answer


def send_litellm(server: Server) -> None:
    told = {"messages": [{"role": "user", "content": PROSE}], "response": {"id": "x", "choices": [{"message": PROSE}]}}
    failure = {
        "status": "failure",
        "error_str": PROSE,
        "error_information": {"error_message": PROSE, "error_class": "E"},
    }
    payloads = [
        {**PAYLOAD, **told, "id": f"litellm-{n}", "litellm_call_id": f"call-{n}", "startTime": NOW_US / 1e6 - 5, **more}
        for n, more in enumerate(({"endTime": NOW_US / 1e6}, {"endTime": NOW_US / 1e6, **failure}))
    ]
    answer = server.request(
        "POST", "/api/v1/litellm", json.dumps(payloads).encode(), {"Content-Type": "application/json"}
    )
    assert answer.status == 200, answer


def call_gateway(server: Server) -> None:
    body = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": PROSE}],
        "user": "someone",
        "metadata": {"note": PROSE},
    }
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    answer = server.request("POST", "/gateway/openai/v1/chat/completions", json.dumps(body).encode(), headers)
    assert answer.status == 200 and WORD.encode() in answer.body


def logs_of_assistants(folder: Path) -> list[tuple[str, Path]]:
    folder.mkdir()
    usage = {"input_tokens": 5, "output_tokens": 2}
    around = {
        "sessionId": "s",
        "cwd": "/work",
        "version": "2",
        "gitBranch": "main",
        "timestamp": "2026-11-05T12:00:00Z",
    }
    tool = {"type": "tool_use", "id": "toolu_1", "name": "Edit", "input": {"file_path": WORD, "new_string": PROSE}}
    lines: list[Mapping[str, Any]] = [
        {"type": "user", "uuid": "u1", "message": {"role": "user", "content": PROSE}, **around},
        {
            "type": "assistant",
            "uuid": "a1",
            "parentUuid": "u1",
            "requestId": "r1",
            "message": {
                "id": "msg_1",
                "model": "claude-sonnet-4-5",
                "usage": usage,
                "content": [{"type": "text", "text": PROSE}, tool, {**tool, "id": "toolu_2"}],
            },
            **around,
        },
        {
            "type": "user",
            "uuid": "u2",
            "message": {
                "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": PROSE, "is_error": True}]
            },
            **around,
        },
        {"type": "assistant", "message": {"model": "m", "usage": {"input_tokens": PROSE}, "content": PROSE}, **around},
    ]
    transcript = folder / "one.jsonl"
    transcript.write_text("\n".join([*map(json.dumps, lines), f"{{ {PROSE}", ""]))
    table = folder / "calls.csv"
    table.write_text(
        f"time,model,input,output,notes,api_key\n2026-11-05T12:00:00Z,gpt-4o,5,2,{PROSE},{WORD}\nbad {WORD},,,,,\n"
    )
    aider = folder / "aider.jsonl"
    event = {"event": "exit", "user_id": "u", "time": 1_762_000_000, "properties": {"reason": PROSE}}
    failed = {
        "event": "message_send_exception",
        "user_id": "u",
        "time": 1_762_000_001,
        "properties": {"exception": PROSE},
    }
    aider.write_text("\n".join([json.dumps(event), json.dumps(failed), f"{WORD} {{", ""]))
    return [("claude-code", transcript), ("files", table), ("aider", aider)]


def text_columns(home: Path) -> Iterator[tuple[str, str]]:
    with duckdb.connect(str(home / "telemetry.duckdb"), read_only=True) as connection:
        found = connection.execute("select table_name, column_name from information_schema.columns").fetchall()
        for table, column in found:
            sql = f'select "{column}"::VARCHAR from "{table}" where contains("{column}"::VARCHAR, ?) limit 3'
            yield from ((f"{table}.{column}", str(row[0])) for row in connection.execute(sql, [WORD]).fetchall())
    with sqlite3.connect(home / "state.sqlite") as state:
        for (table,) in state.execute("select name from sqlite_master where type = 'table'").fetchall():
            for row in state.execute(f'select * from "{table}"').fetchall():
                yield from ((table, str(value)) for value in row if WORD in str(value))


def test_a_marker_sent_through_every_source_is_nowhere_afterwards(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with model_server(
        Whole(chat(choices=[{"index": 0, "message": {"role": "assistant", "content": PROSE}}]))
    ) as provider:
        upstreams = {"openai": {"url": f"{provider.url}/v1", "provider": "openai"}}
        server = Server(home, extra_environment={"RALEX_MONITOR_UPSTREAMS": json.dumps(upstreams)})
        try:
            server.start()
            count = (
                send_native(server)
                + send_spans(server, "application/json")
                + send_spans(server, "application/x-protobuf")
            )
            send_logs(server)
            send_litellm(server)
            call_gateway(server)
            for source, path in logs_of_assistants(tmp_path / "logs"):
                done = subprocess.run(
                    [str(CLI), "import", source, str(path)],
                    env=environment(home),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, done.stderr
            assert server.status()["operations"] >= count
            shown = [
                server.request("GET", path).body.decode()
                for path in (
                    *("/", "/operations", "/monitor", "/traces", "/database", "/costs", "/performance", "/metrics"),
                    *("/api/v1/operations?limit=200", "/api/v1/monitor", "/api/v1/status"),
                )
            ]
            assert [text[:200] for text in shown if WORD in text] == []
            assert WORD not in server.log()
            assert server.stop() == 0
        finally:
            server.close()
    assert dict(text_columns(home)) == {}
    holding = [
        str(Path(folder, name).relative_to(home))
        for folder, _, names in os.walk(home)
        for name in names
        if WORD.encode() in Path(folder, name).read_bytes()
    ]
    assert holding == []
